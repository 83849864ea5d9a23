#include "distributed/nccl.h"

#include <dlfcn.h>
#include <nccl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "distributed/rank_sum.h"
#include "tensor/cuda/context.h"

namespace vapo {
namespace {

using Clock = std::chrono::steady_clock;

// Looked for when ranks join: the program of one process starts without it.
#define VAPO_NCCL_FUNCTIONS(f)                                                                                 \
  f(GetUniqueId) f(CommInitRank) f(CommDestroy) f(CommGetAsyncError) f(GetErrorString) f(GetLastError) f(Send) \
      f(Recv) f(AllReduce) f(Broadcast) f(GroupStart) f(GroupEnd)

struct Library {
#define VAPO_DECLARE(name) decltype(&::nccl##name) name = nullptr;
  VAPO_NCCL_FUNCTIONS(VAPO_DECLARE)
#undef VAPO_DECLARE
  Library() {
#ifdef VAPO_EMULATED_CUDA
#define VAPO_FIND(name) name = &::nccl##name;
#else
    void* library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
      throw InputError(
          fmt::format("several ranks on GPUs need NCCL: {}. Hint: LD_LIBRARY_PATH names its folder", dlerror()));
    auto find = [&](const char* symbol) {
      if (void* found = dlsym(library, symbol)) return found;
      throw InputError(fmt::format("NCCL's library has no {}: too old", symbol));
    };
#define VAPO_FIND(name) name = reinterpret_cast<decltype(name)>(find("nccl" #name));
#endif
    VAPO_NCCL_FUNCTIONS(VAPO_FIND)
#undef VAPO_FIND
  }
};
const Library& nccl() {
  static const Library library;
  return library;
}

void check(ncclResult_t result, const char* what) {
  if (result == ncclSuccess || result == ncclInProgress) return;
  const char* detail = nccl().GetLastError(nullptr);
  throw IoError(fmt::format("[nccl] {}: {}{}{}", what, nccl().GetErrorString(result), detail && *detail ? ": " : "",
                            detail ? detail : ""));
}
#define VAPO_NCCL(call) check(nccl().call, #call)

ncclDataType_t type_of(DType t) { return t == DType::f64 ? ncclFloat64 : ncclFloat32; }

// Sums that are under way on the device, which tells their begin and end itself, so that those of a recorded step count
// too; and a thread that ends this process where one stays so, or where NCCL has noticed that a rank is gone.
class Watch {
 public:
  Watch(ncclComm_t ranks, int64_t rank, const NcclOptions& options)
      : ranks_(ranks), rank_(rank), options_(options) {
    thread_ = std::thread([this] { run(); });
  }
  ~Watch() {
    ended_ = true;
    thread_.join();
  }

  struct Sum {  // of one call, or of all replays of a recorded one
    Watch* watch;
    bool beside, again;  // on which stream; recorded
    size_t bytes = 0;    // that this rank sends
    Clock::time_point begun = {};
  };
  Sum* begin(cudaStream_t stream, bool beside = false) {
    auto* sum = new Sum{this, beside, cuda::is_recording()};  // a recorded one lives as long as the process
    VAPO_CUDA(cudaLaunchHostFunc(stream, &Watch::begun, sum));
    return sum;
  }
  void end(cudaStream_t stream, Sum* sum) { VAPO_CUDA(cudaLaunchHostFunc(stream, &Watch::finished, sum)); }
  void set_patience(std::chrono::seconds patience) {
    std::lock_guard lock(mutex_);
    patience_ = patience;
  }

  Communicator::Traffic traffic() const {
    std::lock_guard lock(mutex_);
    return traffic_;
  }

 private:
  static void begun(void* of) {
    auto* sum = static_cast<Sum*>(of);
    sum->begun = Clock::now();
    std::lock_guard lock(sum->watch->mutex_);
    sum->watch->under_way_[sum->beside] = sum->begun;
  }
  static void finished(void* of) {
    auto* sum = static_cast<Sum*>(of);
    {
      std::lock_guard lock(sum->watch->mutex_);
      sum->watch->under_way_[sum->beside] = {};
      sum->watch->traffic_.bytes += static_cast<int64_t>(sum->bytes);
      sum->watch->traffic_.seconds += std::chrono::duration<double>(Clock::now() - sum->begun).count();
    }
    if (!sum->again) delete sum;
  }

  // Not by NCCL's abort, which waits for the graphs that have captured its calls.
  void end_all(const std::string& why) {
    std::string line = fmt::format("vapo: rank {}: {}: this rank ends. Hint: --resume goes on\n", rank_, why);
    if (::write(STDERR_FILENO, line.data(), line.size()) < 0) {
    }
    std::_Exit(options_.exit_code);
  }

  void run() {
    cudaSetDevice(cuda::chosen_device());
    while (!ended_) {
      ncclResult_t state = ncclSuccess;
      nccl().CommGetAsyncError(ranks_, &state);
      if (state != ncclSuccess && state != ncclInProgress) {
        std::this_thread::sleep_for(
            std::chrono::seconds(3));  // that rank may say why, and the launcher end this one
        end_all(fmt::format("NCCL: {}", nccl().GetErrorString(state)));
      }
      if (auto waited = stands_still())
        end_all(fmt::format("another rank has not answered for {} s", waited->count()));
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  }
  std::optional<std::chrono::seconds> stands_still() const {
    std::lock_guard lock(mutex_);
    if (patience_.count() == 0) return {};
    for (Clock::time_point since : under_way_)
      if (since != Clock::time_point() && Clock::now() - since > patience_) return patience_;
    return {};
  }

  ncclComm_t ranks_;
  int64_t rank_;
  NcclOptions options_;
  mutable std::mutex mutex_;
  std::chrono::seconds patience_{0};
  Clock::time_point under_way_[2];  // on the step's stream, and beside it
  Communicator::Traffic traffic_;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

template <class T>
struct AddTo {
  T* to;
  const T* from;
  __device__ void operator()(int64_t i) const { to[i] += from[i]; }
};

class Nccl : public MessageCommunicator {
 public:
  Nccl(const Launch& launch, Communicator* host, const NcclOptions& options)
      : rank_(launch.rank), size_(launch.size), host_(host) {
    // What is quickest depends on the machine's links, and so would the order of the sums; switches that add do it in
    // an order that is not the same at each run.
    setenv("NCCL_ALGO", "Ring", 0);
    setenv("NCCL_PROTO", "Simple", 0);
    setenv("NCCL_NVLS_ENABLE", "0", 0);
    if (!host_) setenv("NCCL_COMM_ID", options.address.c_str(), 0);
    cuda::stream();  // opens the device
    ncclUniqueId id{};
    if (rank_ == 0 || !host_) VAPO_NCCL(GetUniqueId(&id));
    if (host_) host_->broadcast(std::as_writable_bytes(std::span(&id, 1)));
    if (ncclResult_t joined = nccl().CommInitRank(&ranks_, static_cast<int>(size_), id, static_cast<int>(rank_));
        joined != ncclSuccess) {
      const char* detail = nccl().GetLastError(nullptr);
      throw InputError(fmt::format(
          "NCCL does not join rank {} of {}, on GPU {} of {}: {}{}{}. Hint: one GPU for each rank, or --device cpu",
          rank_, size_, cuda::chosen_device(), cuda::device_count(), nccl().GetErrorString(joined),
          detail && *detail ? ": " : "", detail ? detail : ""));
    }
    VAPO_CUDA(cudaStreamCreateWithFlags(&beside_, cudaStreamNonBlocking));
    for (cudaEvent_t* e : {&given_, &summed_}) VAPO_CUDA(cudaEventCreateWithFlags(e, cudaEventDisableTiming));
    watch_ = std::make_unique<Watch>(ranks_, rank_, options);
  }
  ~Nccl() override {
    try {
      barrier();  // the others may need what this one has sent
      cuda::synchronize();
    } catch (const Error&) {
    }
    watch_.reset();
    nccl().CommDestroy(ranks_);
    for (cudaEvent_t e : {given_, summed_}) cudaEventDestroy(e);
    cudaStreamDestroy(beside_);
  }

  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }
  bool sums_on_gpus() const override { return true; }
  void set_patience(std::chrono::seconds patience) override { watch_->set_patience(patience); }

  using MessageCommunicator::all_reduce;
  void all_reduce(std::span<float> x) override {
    host_ ? host_->all_reduce(x) : MessageCommunicator::all_reduce(x);
  }
  void all_reduce(std::span<double> x) override {
    host_ ? host_->all_reduce(x) : MessageCommunicator::all_reduce(x);
  }
  void broadcast(std::span<std::byte> x) override {
    host_ ? host_->broadcast(x) : MessageCommunicator::broadcast(x);
  }
  std::vector<std::string> gather(std::string_view x) override {
    return host_ ? host_->gather(x) : MessageCommunicator::gather(x);
  }
  void barrier() override { host_ ? host_->barrier() : MessageCommunicator::barrier(); }
  void abort(int exit_code) override {
    if (host_) host_->abort(exit_code);
    std::_Exit(exit_code);
  }
  Traffic traffic() const override {
    Traffic out = watch_->traffic(), host = host_ ? host_->traffic() : MessageCommunicator::traffic();
    return {out.bytes + host.bytes, out.seconds + host.seconds};
  }

  // On a stream of its own, which the step's waits for in finish_sums.
  void start_sum(Tensor& x) override {
    if (x.device() != Device::cuda) return MessageCommunicator::start_sum(x);
    VAPO_CUDA(cudaEventRecord(given_, cuda::stream()));
    VAPO_CUDA(cudaStreamWaitEvent(beside_, given_, 0));
    Watch::Sum* sum = watch_->begin(beside_, true);
    VAPO_NCCL(
        AllReduce(x.raw(), x.raw(), static_cast<size_t>(x.numel()), type_of(x.dtype()), ncclSum, ranks_, beside_));
    sum->bytes = x.bytes() * 2 * static_cast<size_t>(size_ - 1) / static_cast<size_t>(size_);  // of a ring
    watch_->end(beside_, sum);
    x.count_write();
    started_ = true;
  }
  void finish_sums() override {
    if (!std::exchange(started_, false)) return;
    VAPO_CUDA(cudaEventRecord(summed_, beside_));
    VAPO_CUDA(cudaStreamWaitEvent(cuda::stream(), summed_, 0));
  }

 protected:
  void sum(Tensor& x) override {
    if (x.device() != Device::cuda) return MessageCommunicator::sum(x);
    Watch::Sum* sum = watch_->begin(cuda::stream());
    dispatch_floating(x.dtype(), [&]<class T>() { sum->bytes = sum_as<T>(x); });
    watch_->end(cuda::stream(), sum);
    x.count_write();
  }

  // Of what lies in the CPU's memory, where no other communicator takes it.
  void send(int64_t to, std::span<const std::byte> x) override { exchange(to, x, {}); }
  void receive(int64_t from, std::span<std::byte> x) override { exchange(from, {}, x); }
  void exchange(int64_t with, std::span<const std::byte> out, std::span<std::byte> in) override {
    Bytes up(out.size()), down(in.size());
    if (!out.empty()) cuda::copy_bytes(up.at, Device::cuda, out.data(), Device::cpu, out.size());
    Watch::Sum* message = watch_->begin(cuda::stream());
    pass(with, static_cast<char*>(up.at), out.size(), static_cast<char*>(down.at), in.size(), ncclUint8);
    watch_->end(cuda::stream(), message);
    cuda::synchronize();
    if (!in.empty()) cuda::copy_bytes(in.data(), Device::cpu, down.at, Device::cuda, in.size());
  }

 private:
  struct Bytes {
    explicit Bytes(size_t n) : size(n), at(cuda::allocate(n)) {}
    ~Bytes() { cuda::deallocate(at, size); }
    Bytes(const Bytes&) = delete;
    Bytes& operator=(const Bytes&) = delete;
    size_t size;
    void* at;
  };

  template <class T>
  void pass(int64_t with, const T* out, size_t out_count, T* in, size_t in_count, ncclDataType_t type) {
    int other = static_cast<int>(with);
    VAPO_NCCL(GroupStart());
    if (out_count > 0) VAPO_NCCL(Send(out, out_count, type, other, ranks_, cuda::stream()));
    if (in_count > 0) VAPO_NCCL(Recv(in, in_count, type, other, ranks_, cuda::stream()));
    VAPO_NCCL(GroupEnd());
  }

  // The tree of MessageCommunicator, from GPU to GPU.
  template <class T>
  size_t sum_as(const Tensor& tensor) {
    struct Links {
      Nccl& ranks;
      T* x;
      ncclDataType_t type;
      const Tensor& like;
      Tensor beside = {};
      T* room(Piece p) {
        auto count = static_cast<int64_t>(p.count);
        if (!beside.defined() || beside.numel() < count) beside = Tensor::empty({count}, like.options());
        return static_cast<T*>(beside.raw());
      }
      void exchange(int64_t with, Piece out, Piece in) {
        ranks.pass(with, x + out.begin, out.count, room(in), in.count, type);
      }
      void swap(int64_t with, Piece out, Piece in) {
        ranks.pass(with, x + out.begin, out.count, x + in.begin, in.count, type);
      }
      void send(int64_t to, Piece p) { ranks.pass<T>(to, x + p.begin, p.count, nullptr, 0, type); }
      void receive(int64_t from, Piece p) { ranks.pass<T>(from, nullptr, 0, room(p), p.count, type); }
      void add(Piece p) {
        cuda::for_each("all_reduce", static_cast<int64_t>(p.count),
                       AddTo<T>{x + p.begin, static_cast<const T*>(beside.raw())});
      }
      void broadcast() {
        auto count = static_cast<size_t>(like.numel());
        VAPO_NCCL(Broadcast(x, x, count, type, 0, ranks.ranks_, cuda::stream()));
      }
    };
    Links links{*this, static_cast<T*>(tensor.raw()), type_of(tensor.dtype()), tensor};
    return sum_over_ranks(rank_, size_, static_cast<size_t>(tensor.numel()), links) * sizeof(T);
  }

  int64_t rank_, size_;
  Communicator* host_;
  ncclComm_t ranks_ = nullptr;
  cudaStream_t beside_ = nullptr;
  cudaEvent_t given_ = nullptr, summed_ = nullptr;
  bool started_ = false;
  std::unique_ptr<Watch> watch_;
};

}  // namespace

bool with_nccl() { return true; }

std::unique_ptr<Communicator> join_by_nccl(const Launch& launch, Communicator* host, const NcclOptions& options) {
  int64_t gpus = gpu_count();
  if (gpus > 1 && launch.local_rank >= gpus)
    throw InputError(
        fmt::format("rank {} is number {} of this machine, which has {} GPUs. Hint: no more ranks than GPUs, or "
                    "--device cpu",
                    launch.rank, launch.local_rank + 1, gpus));
  choose_gpu(gpus == 1 ? 0 : launch.local_rank);  // launchers may show each rank its own alone
  return std::make_unique<Nccl>(launch, host, options);
}

}  // namespace vapo
