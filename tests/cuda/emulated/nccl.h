#pragma once
// A stand-in for NCCL: ranks are processes of one machine, which reach each other by sockets that the id names. A call is
// work of the stream, run at once or by each launch of a graph that has captured it. A sum adds in the order of the ranks,
// which is no tree. A rank that is gone is an error of the communicator, and what waits for it waits on, as on a GPU.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#define NCCL_MAJOR 2
#define NCCL_UNIQUE_ID_BYTES 128
struct ncclUniqueId {
  char internal[NCCL_UNIQUE_ID_BYTES];
};
enum ncclResult_t {
  ncclSuccess = 0,
  ncclSystemError = 2,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7
};
enum ncclDataType_t { ncclUint8 = 1, ncclFloat32 = 7, ncclFloat64 = 8 };
enum ncclRedOp_t { ncclSum };

namespace emulated {

inline thread_local std::string nccl_error;
inline size_t nccl_bytes(ncclDataType_t t) { return t == ncclUint8 ? 1 : t == ncclFloat32 ? 4 : 8; }

// So much of a message to or from another rank.
struct Transfer {
  int rank;
  char* at;
  size_t bytes;
  bool sends;
};

inline sockaddr_un nccl_socket(const ncclUniqueId& id, int rank, socklen_t& size) {
  sockaddr_un out{};
  out.sun_family = AF_UNIX;  // a name that begins with 0 is of no file
  int length = std::snprintf(out.sun_path + 1, sizeof out.sun_path - 1, "%.80s-%d", id.internal, rank);
  size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<size_t>(length));
  return out;
}

}  // namespace emulated

struct ncclComm {
  int rank, size;
  std::vector<int> sockets;  // to each rank
  std::atomic<bool> gone = false;

  // Until all is through. What is asked of a rank that is gone is never done.
  void move(std::vector<emulated::Transfer> transfers) {
    while (true) {
      std::erase_if(transfers, [](const emulated::Transfer& t) { return t.bytes == 0; });
      if (transfers.empty()) return;
      std::vector<pollfd> waits;
      std::vector<size_t> of;
      for (size_t i = 0; i < transfers.size(); ++i) {
        bool first = true;  // of one rank and direction: they pass in order
        for (size_t j = 0; j < i; ++j)
          first &= transfers[j].rank != transfers[i].rank || transfers[j].sends != transfers[i].sends;
        if (!first) continue;
        short event = transfers[i].sends ? POLLOUT : POLLIN;
        waits.push_back({sockets[static_cast<size_t>(transfers[i].rank)], event, 0});
        of.push_back(i);
      }
      if (gone) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        continue;
      }
      poll(waits.data(), waits.size(), 100);
      for (size_t w = 0; w < waits.size(); ++w) {
        if (waits[w].revents == 0) continue;
        emulated::Transfer& t = transfers[of[w]];
        ssize_t n = t.sends ? send(waits[w].fd, t.at, t.bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
                            : recv(waits[w].fd, t.at, t.bytes, MSG_DONTWAIT);
        if (n > 0) {
          t.at += n, t.bytes -= static_cast<size_t>(n);
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
          gone = true;
        }
      }
    }
  }
};
using ncclComm_t = ncclComm*;

namespace emulated {
inline int nccl_group = 0;
inline std::vector<Transfer> nccl_transfers;
inline ncclComm_t nccl_group_of = nullptr;
inline void nccl_submit(ncclComm_t ranks, std::vector<Transfer> transfers) {
  submit([=] { ranks->move(transfers); });
}
inline ncclResult_t nccl_transfer(ncclComm_t ranks, const Transfer& t) {
  expect_on_device(t.at, "a message of NCCL");
  if (nccl_group == 0) return nccl_submit(ranks, {t}), ncclSuccess;
  nccl_group_of = ranks;
  nccl_transfers.push_back(t);
  return ncclSuccess;
}
}  // namespace emulated

inline ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const char* given = std::getenv("NCCL_COMM_ID");
  std::snprintf(id->internal, sizeof id->internal, "nccl-%s", given ? given : std::to_string(getpid()).c_str());
  return ncclSuccess;
}
inline const char* ncclGetErrorString(ncclResult_t r) {
  return r == ncclSuccess        ? "no error"
         : r == ncclInvalidUsage ? "invalid usage"
         : r == ncclRemoteError  ? "remote process exited or there was a network error"
         : r == ncclInProgress   ? "in progress"
                                 : "unhandled system error";
}
inline const char* ncclGetLastError(ncclComm_t) { return emulated::nccl_error.c_str(); }

// Every rank listens, reaches those below it, and is reached by those above; each says which it is, and on which device.
inline ncclResult_t ncclCommInitRank(ncclComm_t* out, int size, ncclUniqueId id, int rank) {
  socklen_t length = 0;
  sockaddr_un own = emulated::nccl_socket(id, rank, length);
  int listens = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listens, reinterpret_cast<sockaddr*>(&own), length) != 0 || listen(listens, size) != 0) {
    emulated::nccl_error = std::string("bind: ") + std::strerror(errno);
    return ncclSystemError;
  }
  auto* comm = new ncclComm{.rank = rank, .size = size, .sockets = std::vector<int>(static_cast<size_t>(size), -1)};
  struct Hello {
    int rank, device;
  } hello{rank, emulated::device};
  for (int other = 0; other < rank; ++other) {
    sockaddr_un theirs = emulated::nccl_socket(id, other, length);
    int s = -1;
    for (int tries = 0; tries < 600; ++tries) {
      s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(s, reinterpret_cast<sockaddr*>(&theirs), length) == 0) break;
      close(s), s = -1;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    if (s < 0) return emulated::nccl_error = "rank " + std::to_string(other) + " does not answer", ncclSystemError;
    if (write(s, &hello, sizeof hello) != sizeof hello) return ncclSystemError;
    comm->sockets[static_cast<size_t>(other)] = s;
  }
  std::vector<Hello> all{hello};
  for (int i = rank + 1; i < size; ++i) {
    Hello other{};
    int s = accept4(listens, nullptr, nullptr, SOCK_CLOEXEC);
    if (recv(s, &other, sizeof other, MSG_WAITALL) != sizeof other) return ncclSystemError;
    comm->sockets[static_cast<size_t>(other.rank)] = s;
    all.push_back(other);
  }
  close(listens);
  // Each tells those below what it found, so that all refuse or none.
  int duplicate = -1;
  for (size_t i = 1; i < all.size(); ++i)
    if (all[i].device == hello.device) duplicate = all[i].rank;
  for (int other = 0; other < size; ++other) {
    int theirs = -1, s = comm->sockets[static_cast<size_t>(other)];
    if (other == rank) continue;
    if (write(s, &duplicate, sizeof duplicate) != sizeof duplicate ||
        recv(s, &theirs, sizeof theirs, MSG_WAITALL) != sizeof theirs)
      return ncclSystemError;
    if (theirs >= 0 && duplicate < 0) duplicate = theirs;
  }
  if (duplicate >= 0) return emulated::nccl_error = "Duplicate GPU detected", ncclInvalidUsage;
  *out = comm;
  return ncclSuccess;
}
inline ncclResult_t ncclCommDestroy(ncclComm_t ranks) {
  for (int s : ranks->sockets)
    if (s >= 0) close(s);
  return ncclSuccess;
}
inline ncclResult_t ncclCommGetAsyncError(ncclComm_t ranks, ncclResult_t* error) {
  return *error = ranks->gone ? ncclRemoteError : ncclSuccess, ncclSuccess;
}

inline ncclResult_t ncclGroupStart() { return ++emulated::nccl_group, ncclSuccess; }
inline ncclResult_t ncclGroupEnd() {
  if (--emulated::nccl_group == 0 && !emulated::nccl_transfers.empty())
    emulated::nccl_submit(emulated::nccl_group_of, std::exchange(emulated::nccl_transfers, {}));
  return ncclSuccess;
}
inline ncclResult_t ncclSend(const void* x, size_t count, ncclDataType_t type, int to, ncclComm_t ranks,
                             cudaStream_t) {
  char* at = const_cast<char*>(static_cast<const char*>(x));
  return emulated::nccl_transfer(ranks, {to, at, count * emulated::nccl_bytes(type), true});
}
inline ncclResult_t ncclRecv(void* x, size_t count, ncclDataType_t type, int from, ncclComm_t ranks, cudaStream_t) {
  return emulated::nccl_transfer(ranks, {from, static_cast<char*>(x), count * emulated::nccl_bytes(type), false});
}
inline ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                                  ncclComm_t ranks, cudaStream_t) {
  size_t bytes = count * emulated::nccl_bytes(type);
  for (const void* x : {from, static_cast<const void*>(to)}) emulated::expect_on_device(x, "a broadcast of NCCL");
  std::vector<emulated::Transfer> transfers;
  char* source = const_cast<char*>(static_cast<const char*>(from));
  for (int other = 0; other < ranks->size; ++other)
    if (ranks->rank == root && other != root) transfers.push_back({other, source, bytes, true});
  if (ranks->rank != root) transfers.push_back({root, static_cast<char*>(to), bytes, false});
  emulated::nccl_submit(ranks, transfers);
  return ncclSuccess;
}
inline ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type, ncclRedOp_t,
                                  ncclComm_t ranks, cudaStream_t stream) {
  size_t bytes = count * emulated::nccl_bytes(type);
  for (const void* x : {from, static_cast<const void*>(to)}) emulated::expect_on_device(x, "a sum of NCCL");
  emulated::submit(stream, [=] {
    auto* own = static_cast<char*>(const_cast<void*>(from));
    std::vector<char> memory(bytes * static_cast<size_t>(ranks->size));
    char* all = memory.data();
    std::vector<emulated::Transfer> transfers;
    for (int other = 0; other < ranks->size; ++other) {
      if (other == ranks->rank) continue;
      transfers.push_back({other, own, bytes, true});
      transfers.push_back({other, all + static_cast<size_t>(other) * bytes, bytes, false});
    }
    ranks->move(transfers);
    std::memcpy(all + static_cast<size_t>(ranks->rank) * bytes, own, bytes);
    auto add = [&]<class T>(T) {
      auto* sums = static_cast<T*>(to);
      const auto* parts = reinterpret_cast<const T*>(all);
      for (size_t i = 0; i < count; ++i) {
        T sum = parts[i];
        for (int r = 1; r < ranks->size; ++r) sum += parts[static_cast<size_t>(r) * count + i];
        sums[i] = sum;
      }
    };
    type == ncclFloat32 ? add(float()) : add(double());
  });
  return ncclSuccess;
}
