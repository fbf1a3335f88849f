#include "rate_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <random>
#include <system_error>

#include "dragoman/rate_shared.hpp"

namespace dragoman {

namespace {

[[noreturn]] void refuse(int error, const std::string& path) {
  throw std::system_error(error, std::generic_category(), path);
}

void make_folder(const std::string& path) {
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (folder.empty() || std::filesystem::exists(folder)) return;
  std::error_code error;
  // One by one from the top, so that no folder made here is open to others even for a moment.
  std::filesystem::path made;
  for (const auto& part : folder) {
    made /= part;
    if (::mkdir(made.c_str(), 0700) != 0 && errno != EEXIST && !std::filesystem::is_directory(made, error)) {
      refuse(errno, made.string());
    }
  }
}

int flock_fully(int fd, int operation) {
  int result = 0;
  do {
    result = ::flock(fd, operation);
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

MappedFile::~MappedFile() {
  close();
}

void MappedFile::close() noexcept {
  if (data_ != nullptr) ::munmap(data_, mapped_);
  if (fd_ >= 0) ::close(fd_);  // and with it the lock
  data_ = nullptr;
  fd_ = -1;
}

void MappedFile::open(const std::string& path) {
  path_ = path;
  make_folder(path);
  do {
    close();
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd_ < 0) refuse(errno, path);
  } while (!lock_current());

  struct stat found{};
  if (::fstat(fd_, &found) != 0) refuse(errno, path_);
  if (!S_ISREG(found.st_mode))
    throw SharedStateError("rate limit: " + path_ + " is not a file, expected one");
  if (found.st_uid != ::geteuid() || (found.st_mode & 077) != 0) {
    throw SharedStateError("rate limit: " + path_ +
                           " can be used by others, expected it to be ours with mode 0600");
  }
  bytes_ = static_cast<std::size_t>(found.st_size);
}

/// Lock what was opened; false where the path meanwhile names another file.
bool MappedFile::lock_current() {
  alone_ = flock_fully(fd_, LOCK_EX | LOCK_NB) == 0;
  if (!alone_ && (errno != EWOULDBLOCK || flock_fully(fd_, LOCK_SH) != 0)) refuse(errno, path_);
  struct stat ours{};
  struct stat named{};
  if (::fstat(fd_, &ours) != 0) refuse(errno, path_);
  return ::stat(path_.c_str(), &named) == 0 && ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

void MappedFile::share() {
  if (alone_ && flock_fully(fd_, LOCK_SH) != 0) refuse(errno, path_);
  alone_ = false;
}

void MappedFile::allocate(std::size_t bytes) {
  // Space is taken now: on a full disk a write to an unbacked page would be a signal, not an error.
  const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(bytes));
  if (error != 0) refuse(error, path_);
  bytes_ = bytes;
}

void MappedFile::map(std::size_t bytes) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (data == MAP_FAILED) refuse(errno, path_);
  data_ = static_cast<std::byte*>(data);
  mapped_ = bytes;
}

std::string MappedFile::head(std::size_t bytes) const {
  std::string read(bytes, '\0');
  const ssize_t got = ::pread(fd_, read.data(), bytes, 0);
  if (got < 0) refuse(errno, path_);
  read.resize(static_cast<std::size_t>(got));
  return read;
}

std::string kernel_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  if (!std::getline(file, id) || id.empty()) {
    throw SharedStateError(
        "rate limit: the kernel gives no boot id, expected one in /proc/sys/kernel/random");
  }
  return id;
}

std::uint64_t random_id() {
  std::random_device source;
  return (std::uint64_t{source()} << 32 | source()) | 1;
}

}  // namespace dragoman
