#include "distributed/signs_of_life.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tensor/check.h"

namespace vapo {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr char kAlive = 'a', kLeaves = 'l';
constexpr milliseconds kPause{50};
constexpr seconds kGrace{6};  // that rank, NCCL or the launcher may say more

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {
    if (fd_ >= 0) fcntl(fd_, F_SETFL, fcntl(fd_, F_GETFL) | O_NONBLOCK), fcntl(fd_, F_SETFD, FD_CLOEXEC);
  }
  Socket(Socket&& o) noexcept : fd_(std::exchange(o.fd_, -1)) {}
  Socket& operator=(Socket&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  bool send(std::string_view bytes) const {
    return ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

 private:
  int fd_ = -1;
};

// f(address) for the addresses of a host, or of this machine's own to listen at, until it has made a socket.
template <class F>
Socket first_of(const char* host, int port, const F& f) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_STREAM, wanted.ai_flags = host ? 0 : AI_PASSIVE;
  if (getaddrinfo(host, std::to_string(port).c_str(), &wanted, &found) != 0) return {};
  Socket made;
  for (addrinfo* a = found; a && !made; a = a->ai_next) made = f(*a);
  freeaddrinfo(found);
  return made;
}
Socket listening(int port) {
  return first_of(nullptr, port, [](const addrinfo& a) {
    Socket s(::socket(a.ai_family, a.ai_socktype, a.ai_protocol));
    int on = 1;
    if (s) setsockopt(s.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool listens = s && ::bind(s.fd(), a.ai_addr, a.ai_addrlen) == 0 && ::listen(s.fd(), 1024) == 0;
    return listens ? std::move(s) : Socket();
  });
}
Socket connected(const std::string& host, int port) {
  return first_of(host.c_str(), port, [](const addrinfo& a) {
    Socket s(::socket(a.ai_family, a.ai_socktype, a.ai_protocol));
    if (!s) return Socket();
    if (::connect(s.fd(), a.ai_addr, a.ai_addrlen) == 0) return s;
    if (errno != EINPROGRESS) return Socket();
    pollfd ready{s.fd(), POLLOUT, 0};
    int error = 0;
    socklen_t size = sizeof error;
    bool done = ::poll(&ready, 1, 1000) == 1 && getsockopt(s.fd(), SOL_SOCKET, SO_ERROR, &error, &size) == 0;
    return done && error == 0 ? std::move(s) : Socket();
  });
}

// What a rank says when it joins: who is somebody else is not listened to.
struct Greeting {
  std::array<char, 4> program{'v', 'a', 'p', 'o'};
  uint32_t rank = 0;
};

// The other end of a connection.
struct Peer {
  Socket socket;
  std::string heard = {};  // of its greeting
  std::optional<int64_t> rank = {};
  Clock::time_point last = Clock::now(), gone = {};
  bool left = false;

  // What has come; whether it is to be kept.
  bool listen(int64_t size) {
    if (gone != Clock::time_point()) return true;
    char bytes[256];
    for (;;) {
      ssize_t n = ::recv(socket.fd(), bytes, sizeof bytes, 0);
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return true;
      if (n <= 0) {
        gone = Clock::now();
        return rank.has_value();
      }
      last = Clock::now();
      for (ssize_t i = 0; i < n; ++i) {
        if (rank)
          left = left || bytes[i] == kLeaves;
        else if (heard += bytes[i]; heard.size() == sizeof(Greeting) && !greet(size))
          return false;
      }
    }
  }

 private:
  bool greet(int64_t size) {
    Greeting greeting;
    std::memcpy(&greeting, heard.data(), sizeof greeting);
    if (greeting.program != Greeting().program || greeting.rank >= size) return false;
    rank = greeting.rank;
    return true;
  }
};

}  // namespace

class SignsOfLife::Watch {
 public:
  Watch(const Launch& launch, const SignsOptions& options) : launch_(launch), options_(options) {
    if (launch.rank == 0) {
      listening_ = listening(options.port);
      if (!listening_)
        throw InputError(
            fmt::format("rank 0 cannot listen at port {}: {}. Hint: another MASTER_PORT, of which the "
                        "two after it are free",
                        options.port, std::strerror(errno)));
    }
    thread_ = std::thread([this] { run(); });
  }
  ~Watch() { stop(); }
  void leave() {
    stop();
    for (const Peer& p : peers_)
      if (p.gone == Clock::time_point()) p.socket.send({&kLeaves, 1});
  }

 private:
  void stop() {
    ended_ = true;
    if (thread_.joinable()) thread_.join();
  }
  void run() {
    auto sent = Clock::time_point();
    while (!ended_) {
      if (launch_.rank == 0) {
        while (Socket s{::accept(listening_.fd(), nullptr, nullptr)}) peers_.push_back({.socket = std::move(s)});
      } else if (peers_.empty()) {
        join();
      }
      std::erase_if(peers_, [&](Peer& p) { return !p.listen(launch_.size); });
      if (Clock::now() - sent >= seconds(1)) {
        for (Peer& p : peers_)
          if (p.rank && p.gone == Clock::time_point()) p.socket.send({&kAlive, 1});
        sent = Clock::now();
      }
      judge();
      std::this_thread::sleep_for(kPause);
    }
  }
  void join() {
    Socket s = connected(options_.host, options_.port);
    Greeting greeting{.rank = static_cast<uint32_t>(launch_.rank)};
    if (!s || !s.send({reinterpret_cast<const char*>(&greeting), sizeof greeting})) return;
    peers_.push_back({.socket = std::move(s), .rank = 0});
  }
  void judge() {
    for (const Peer& p : peers_) {
      if (!p.rank || p.left) continue;
      if (p.gone != Clock::time_point()) {
        if (Clock::now() - p.gone > kGrace) end(fmt::format("rank {} is gone", *p.rank));
      } else if (Clock::now() - p.last > options_.patience) {
        end(fmt::format("no sign of life from rank {} for {} s", *p.rank, options_.patience.count()));
      }
    }
  }
  void end(const std::string& why) const {
    std::string line =
        fmt::format("vapo: rank {}: {}: this rank ends. Hint: --resume goes on\n", launch_.rank, why);
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) {
    }
    std::_Exit(options_.exit_code);
  }

  Launch launch_;
  SignsOptions options_;
  Socket listening_;
  std::vector<Peer> peers_;  // of rank 0 the others, of these rank 0
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

SignsOfLife::SignsOfLife(const Launch& launch, const SignsOptions& options)
    : watch_(std::make_unique<Watch>(launch, options)) {}
SignsOfLife::~SignsOfLife() = default;
void SignsOfLife::leave() { watch_->leave(); }

}  // namespace vapo
