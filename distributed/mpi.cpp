#include "distributed/mpi.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "tensor/check.h"

namespace vapo {
namespace {

int64_t local_ranks = 1;

void check(int code, const char* what, int64_t rank) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw IoError(fmt::format("{} rank {}: {}", what, rank, text));
}

// A sign of life to the next rank every second, and a look for that of the one before, on a communicator of their own.
class Heartbeat {
 public:
  Heartbeat(int64_t rank, int64_t size, const MpiOptions& options) : rank_(rank), size_(size), options_(options) {
    MPI_Comm_dup(MPI_COMM_WORLD, &beats_);
    thread_ = std::thread([this] { run(); });
  }
  // All ranks end at once, and give signs of life until the last is there: rank 0 may have much to write. A beat that is
  // still under way is taken before its communicator goes.
  void end() {
    MPI_Request all_there = MPI_REQUEST_NULL;
    MPI_Ibarrier(MPI_COMM_WORLD, &all_there);
    for (int there = 0; !there;) {
      MPI_Test(&all_there, &there, MPI_STATUS_IGNORE);
      if (!there) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ended_ = true;
    thread_.join();
    MPI_Barrier(MPI_COMM_WORLD);
    take();
    MPI_Comm_free(&beats_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  int next() const { return static_cast<int>((rank_ + 1) % size_); }
  int before() const { return static_cast<int>((rank_ + size_ - 1) % size_); }

  bool take() {
    bool some = false;
    for (int there = 0;;) {
      MPI_Iprobe(before(), 0, beats_, &there, MPI_STATUS_IGNORE);
      if (!there) return some;
      char beat = 0;
      MPI_Recv(&beat, 1, MPI_CHAR, before(), 0, beats_, MPI_STATUS_IGNORE);
      some = true;
    }
  }

  void run() {
    auto last = Clock::now(), sent = Clock::time_point();
    MPI_Request sending = MPI_REQUEST_NULL;
    char beat = 1;
    while (!ended_) {
      int gone = 1;
      MPI_Test(&sending, &gone, MPI_STATUS_IGNORE);
      if (gone && Clock::now() - sent >= std::chrono::seconds(1)) {
        MPI_Isend(&beat, 1, MPI_CHAR, next(), 0, beats_, &sending);
        sent = Clock::now();
      }
      if (take()) last = Clock::now();
      if (Clock::now() - last > options_.patience) {
        std::string line = fmt::format(
            "vapo: rank {}: no sign of life from rank {} for {} s: all are ended. Hint: --resume goes on\n", rank_,
            before(), options_.patience.count());
        if (::write(STDERR_FILENO, line.data(), line.size()) < 0) {
        }
        MPI_Abort(MPI_COMM_WORLD, options_.exit_code);
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    MPI_Wait(&sending, MPI_STATUS_IGNORE);
  }

  int64_t rank_, size_;
  MpiOptions options_;
  MPI_Comm beats_ = MPI_COMM_NULL;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

class Mpi : public MessageCommunicator {
 public:
  Mpi(int64_t rank, int64_t size, const MpiOptions& options) : rank_(rank), size_(size) {
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm here = MPI_COMM_NULL;
    int count = 1;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    MPI_Comm_size(here, &count);
    MPI_Comm_free(&here);
    MPI_Comm_dup(MPI_COMM_WORLD, &sums_);
    MPI_Comm_set_errhandler(sums_, MPI_ERRORS_RETURN);
    local_ranks = count;
    heartbeat_.emplace(rank, size, options);
  }
  ~Mpi() override {
    heartbeat_->end();
    MPI_Comm_free(&sums_);
    MPI_Finalize();
  }
  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }
  // By a communicator of their own, so that messages from rank to rank may pass between.
  void start_sum(Tensor& x) override {
    if (x.device() != Device::cpu || static_cast<size_t>(x.numel()) > kPiece) return sum(x);
    auto begun = std::chrono::steady_clock::now();
    MPI_Request& request = started_.emplace_back(MPI_REQUEST_NULL);
    int count = static_cast<int>(x.numel());
    check(x.dtype() == DType::f32
              ? MPI_Iallreduce(MPI_IN_PLACE, x.mutable_data<float>(), count, MPI_FLOAT, MPI_SUM, sums_, &request)
              : MPI_Iallreduce(MPI_IN_PLACE, x.mutable_data<double>(), count, MPI_DOUBLE, MPI_SUM, sums_, &request),
          "a sum begun at", rank_);
    started_bytes_ += x.bytes();
    started_seconds_ += seconds_since(begun);
  }
  // What a ring sends, which others do not go below.
  void finish_sums() override {
    auto begun = std::chrono::steady_clock::now();
    check(MPI_Waitall(static_cast<int>(started_.size()), started_.data(), MPI_STATUSES_IGNORE), "a sum awaited at",
          rank_);
    started_.clear();
    count_traffic(started_bytes_ * 2 * static_cast<size_t>(size_ - 1) / static_cast<size_t>(size_),
                  started_seconds_ + seconds_since(begun));
    started_bytes_ = 0, started_seconds_ = 0;
  }
  void abort(int exit_code) override {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
  }

 protected:
  void send(int64_t to, std::span<const std::byte> x) override {
    pieces(
        x.size(),
        [&](size_t at, int count) {
          return MPI_Send(x.data() + at, count, MPI_BYTE, static_cast<int>(to), 1, MPI_COMM_WORLD);
        },
        "sending to", to);
  }
  void receive(int64_t from, std::span<std::byte> x) override {
    pieces(
        x.size(),
        [&](size_t at, int count) {
          return MPI_Recv(x.data() + at, count, MPI_BYTE, static_cast<int>(from), 1, MPI_COMM_WORLD,
                          MPI_STATUS_IGNORE);
        },
        "receiving from", from);
  }
  void exchange(int64_t with, std::span<const std::byte> out, std::span<std::byte> in) override {
    auto other = static_cast<int>(with);
    MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
    for (size_t at = 0; at < std::max(out.size(), in.size()); at += kPiece) {
      auto count = [&](size_t size) { return static_cast<int>(std::min(kPiece, size - std::min(at, size))); };
      check(MPI_Irecv(in.data() + at, count(in.size()), MPI_BYTE, other, 1, MPI_COMM_WORLD, &requests[0]),
            "receiving from", with);
      check(MPI_Isend(out.data() + at, count(out.size()), MPI_BYTE, other, 1, MPI_COMM_WORLD, &requests[1]),
            "sending to", with);
      check(MPI_Waitall(2, requests, MPI_STATUSES_IGNORE), "exchanging with", with);
    }
  }

 private:
  static constexpr size_t kPiece = 1 << 30;  // counts of MPI are ints
  static double seconds_since(std::chrono::steady_clock::time_point begun) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  }
  template <class F>
  void pieces(size_t size, const F& move, const char* what, int64_t rank) {
    for (size_t at = 0; at < size; at += kPiece)
      check(move(at, static_cast<int>(std::min(kPiece, size - at))), what, rank);
  }
  int64_t rank_, size_;
  MPI_Comm sums_ = MPI_COMM_NULL;
  std::vector<MPI_Request> started_;
  size_t started_bytes_ = 0;
  double started_seconds_ = 0;
  std::optional<Heartbeat> heartbeat_;
};

}  // namespace

bool with_mpi() { return true; }

int64_t ranks_on_this_machine() { return local_ranks; }

std::unique_ptr<Communicator> join_by_mpi(const Launch& launch, const MpiOptions& options) {
  int provided = 0, rank = 0, size = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &provided);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (rank != launch.rank || size != launch.size) {
    MPI_Finalize();
    throw InputError(
        fmt::format("{} started {} processes and calls this one {}; MPI sees {} and calls it {}. Hint: {}",
                    launch.by, launch.size, launch.rank, size, rank,
                    launch.by == "srun" ? "srun --mpi=pmix, or mpirun inside the allocation"
                                        : "the mpirun of the MPI that vapo was built with"));
  }
  if (provided < MPI_THREAD_MULTIPLE) {
    MPI_Finalize();
    throw InputError(
        "this MPI cannot be called by several threads at once, and one beside watches the other ranks");
  }
  return std::make_unique<Mpi>(rank, size, options);
}

}  // namespace vapo
