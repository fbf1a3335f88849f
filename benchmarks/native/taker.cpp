// Answers orders on loopback as fast as a plain epoll loop can, and keeps what it was sent.
//
// taker FD: FD holds the fixed replies, each as length, path, length, whole reply (lengths little-endian, 32
// bits); the reply without a path is for whatever else is asked. It prints its port and ends with its
// standard input.

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <map>
#include <string>
#include <string_view>

namespace {

constexpr std::size_t kept = 16;
constexpr std::size_t read_at_once = 65536;

std::map<std::string, std::string, std::less<>> fixed;
std::deque<std::string> sent;

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

void load(int fd) {
  struct stat about{};
  if (fstat(fd, &about) != 0) fail("fstat");
  std::string all(static_cast<std::size_t>(about.st_size), '\0');
  if (pread(fd, all.data(), all.size(), 0) != about.st_size) fail("pread");
  std::size_t at = 0;
  const auto next = [&] {
    std::uint32_t size = 0;
    std::memcpy(&size, all.data() + at, sizeof size);
    std::string piece = all.substr(at + sizeof size, size);
    at += sizeof size + size;
    return piece;
  };
  while (at < all.size()) {
    std::string path = next();
    fixed[std::move(path)] = next();
  }
}

// A new id, dated within the second: only what changes is written anew.
std::string_view order_reply() {
  static char reply[256];
  static int size = 0;
  static std::time_t dated = 0;
  static std::uint32_t orders = 0;
  const std::time_t now = std::time(nullptr);
  if (now != dated) {
    dated = now;
    char date[40];
    std::tm parts{};
    std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &parts));
    constexpr std::string_view body = R"({"status": "success", "data": {"order_id": "151220000000000"}})";
    size = std::snprintf(
        reply, sizeof reply,
        "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
        "Connection: keep-alive\r\n\r\n%s",
        date, body.size(), body.data());
  }
  ++orders;
  char* digit = reply + size - 4;  // the last of nine
  for (std::uint32_t left = orders, i = 0; i < 9; ++i, left /= 10)
    *digit-- = static_cast<char>('0' + left % 10);
  return {reply, static_cast<std::size_t>(size)};
}

std::string sent_reply() {
  std::string body;
  for (const std::string& one : sent) {
    for (const char letter : one) {
      char pair[3];
      std::snprintf(pair, sizeof pair, "%02x", static_cast<unsigned char>(letter));
      body += pair;
    }
    body += '\n';
  }
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

// Whether a request is there whole. One comes at a time; a body may come after its head.
bool whole(std::string_view data) {
  const std::size_t head = data.find("\r\n\r\n");
  if (head == std::string_view::npos) return false;
  if (!data.starts_with("POST")) return true;
  constexpr std::string_view name = "Content-Length:";  // as every client here spells it
  const std::size_t at = data.substr(0, head).find(name);
  return at == std::string_view::npos ||
         data.size() >= head + 4 + std::strtoul(data.data() + at + name.size(), nullptr, 10);
}

void write_all(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t done = send(fd, data.data(), data.size(), MSG_NOSIGNAL);
    if (done < 0) {
      if (errno == EINTR) continue;
      return;  // the client is gone: its end shows with the next read
    }
    data.remove_prefix(static_cast<std::size_t>(done));
  }
}

void answer(int fd, std::string&& request) {
  if (request.starts_with("POST /orders/")) {
    write_all(fd, order_reply());
    if (sent.size() == kept) sent.pop_front();
    sent.push_back(std::move(request));
    return;
  }
  std::string_view path = request;
  path.remove_prefix(path.find(' ') + 1);
  path = path.substr(0, path.find_first_of(" ?"));
  if (path == "/sent") {
    write_all(fd, sent_reply());
    return;
  }
  const auto found = fixed.find(path);
  write_all(fd, found != fixed.end() ? found->second : fixed[""]);
}

void watch(int poll, int fd) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = fd;
  if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  load(std::atoi(arguments[1]));
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      listen(listener, 64) != 0 || getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    fail("listen");
  }
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);

  const int poll = epoll_create1(EPOLL_CLOEXEC);
  if (poll < 0) fail("epoll_create1");
  watch(poll, listener);
  watch(poll, STDIN_FILENO);
  std::map<int, std::string> begun;
  static char buffer[read_at_once];
  for (;;) {
    epoll_event events[16];
    const int ready = epoll_wait(poll, events, 16, -1);
    if (ready < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) continue;
        const int yes = 1;
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        watch(poll, client);
        continue;
      }
      const ssize_t got = read(fd, buffer, sizeof buffer);
      if (got <= 0) {
        if (fd == STDIN_FILENO) return 0;
        close(fd);
        begun.erase(fd);
        continue;
      }
      if (fd == STDIN_FILENO) continue;
      std::string& data = begun[fd];
      data.append(buffer, static_cast<std::size_t>(got));
      if (whole(data)) {
        answer(fd, std::move(data));
        data.clear();
      }
    }
  }
}
