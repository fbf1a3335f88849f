#pragma once

#include <memory>
#include <utility>

#include "dragoman/decoder.hpp"

/// What Python's `Layout` holds: a compiled layout of any engine, and how to make its decoders.
class PyLayout {
 public:
  template <class Layout, class Decoder>
  static PyLayout of(std::shared_ptr<const Layout> layout) {
    return PyLayout(std::move(layout),
                    [](const std::shared_ptr<const dragoman::FrameLayout>& made)
                        -> std::unique_ptr<dragoman::FrameDecoder> {
                      return std::make_unique<Decoder>(std::static_pointer_cast<const Layout>(made));
                    });
  }

  [[nodiscard]] const dragoman::FrameLayout& layout() const noexcept { return *layout_; }
  [[nodiscard]] std::unique_ptr<dragoman::FrameDecoder> make_decoder() const { return make_(layout_); }

 private:
  using Make =
      std::unique_ptr<dragoman::FrameDecoder> (*)(const std::shared_ptr<const dragoman::FrameLayout>&);

  PyLayout(std::shared_ptr<const dragoman::FrameLayout> layout, Make make)
      : layout_(std::move(layout)), make_(make) {}

  std::shared_ptr<const dragoman::FrameLayout> layout_;
  Make make_;
};
