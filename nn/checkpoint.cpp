#include "nn/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <vector>

#include "tensor/finite.h"
#include "tensor/io/printable.h"
#include "tensor/kernels.h"

namespace vapo::nn {
namespace {

constexpr const char* format_name = "vapo-checkpoint-1";

// The border to the world of channels first: weights of convolutions (O,kH,kW,I) are (O,I,kH,kW) in the file, those
// of sequences (O,1,I) are (O,I,1).
Shape shape_in_file(Shape s) {
  if (s.rank() > 2) std::rotate(&s[1], &s[s.rank() - 1], &s[s.rank() - 1] + 1);
  return s;
}
Tensor to_file(const Tensor& x) {
  if (x.rank() < 3) return x;
  Dims order{0, x.rank() - 1};
  for (int i = 1; i + 1 < x.rank(); ++i) order.push_back(i);
  return kernel::permute(x.to(Device::cpu), order);
}
Tensor from_file(const Tensor& x) {
  if (x.rank() < 3) return x;
  Dims order{0};
  for (int i = 2; i < x.rank(); ++i) order.push_back(i);
  order.push_back(1);
  return kernel::permute(x, order);
}

// Tensors of a file matched with the places they go to. Nothing is written before everything fits.
class Loader {
 public:
  Loader(const std::string& file_name, const TensorFile& file) : name_(file_name), file_(file) {}

  void take(const std::string& key, const Tensor& target) {
    auto it = file_.tensors.find(key);
    if (it == file_.tensors.end())
      throw InputError(fmt::format("{}: tensor '{}' is missing", name_, printable(key)));
    const Tensor& source = it->second;
    Shape expected = shape_in_file(target.shape());
    if (source.shape() != expected)
      throw InputError(fmt::format("{}: tensor '{}' has shape {}, expected {}", name_, key, source.shape().str(),
                                   expected.str()));
    if (source.dtype() != target.dtype() && !(is_floating(source.dtype()) && is_floating(target.dtype())))
      throw InputError(fmt::format("{}: tensor '{}' is {}, expected {}", name_, key, name_of(source.dtype()),
                                   name_of(target.dtype())));
    if (is_floating(source.dtype()))
      if (auto bad = non_finite(source); bad && (bad->nan || !key.starts_with("optimizer.")))
        throw InputError(fmt::format(
            "{}: tensor '{}' is {} in {} of its {} values. Hint: training diverged before it was saved; take an "
            "earlier checkpoint",
            name_, key, bad->name(), bad->values, source.numel()));
    taken_.insert(&it->first);
    moves_.push_back({&source, target});
  }
  void take_parameters(const std::string& prefix, Module& module) {
    for (const NamedParameter& p : named_parameters(module)) take(prefix + p.name, p.parameter->value());
    refuse_others(prefix);
  }
  void take_buffers(Module& module) {
    module.buffers([&](const std::string& name, Tensor& buffer) { take("buffer." + name, buffer); });
    refuse_others("buffer.");
  }
  // Every tensor under the prefix must have been taken.
  void refuse_others(const std::string& prefix) {
    for (auto it = file_.tensors.lower_bound(prefix); it != file_.tensors.end() && it->first.starts_with(prefix);
         ++it) {
      if (!taken_.contains(&it->first))
        throw InputError(
            fmt::format("{}: tensor '{}' {} belongs to nothing here. Hint: was it saved with another config?",
                        name_, printable(it->first), it->second.shape().str()));
    }
  }
  void write() const {
    for (const Move& m : moves_) kernel::copy_into(m.target, from_file(*m.source));
  }

 private:
  struct Move {
    const Tensor* source;
    Tensor target;
  };
  const std::string& name_;
  const TensorFile& file_;
  std::set<const std::string*> taken_;  // keys of the file
  std::vector<Move> moves_;
};

const std::string& metadata(const std::string& name, const TensorFile& file, const std::string& key) {
  auto it = file.metadata.find(key);
  if (it == file.metadata.end())
    throw InputError(fmt::format("{}: '{}' is missing from the checkpoint's metadata", name, key));
  return it->second;
}

template <class T>
T metadata_number(const std::string& name, const TensorFile& file, const std::string& key) {
  const std::string& text = metadata(name, file, key);
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || value < T{})
    throw InputError(fmt::format("{}: metadata '{}' is '{}', expected a count", name, key, printable(text)));
  return value;
}

bool any_under(const TensorFile& file, const std::string& prefix) {
  auto it = file.tensors.lower_bound(prefix);
  return it != file.tensors.end() && it->first.starts_with(prefix);
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const TrainingState& state) {
  TensorFile file;
  file.metadata = {{"format", format_name},
                   {"step", fmt::format("{}", state.step)},
                   {"seed", fmt::format("{}", state.seed)},
                   {"config", state.config}};
  if (state.module) {
    for (const NamedParameter& p : named_parameters(*state.module))
      file.tensors["param." + p.name] = to_file(p.parameter->value());
    state.module->buffers(
        [&](const std::string& name, Tensor& buffer) { file.tensors["buffer." + name] = to_file(buffer); });
  }
  if (state.ema) {
    state.ema->state(
        [&](const std::string& name, Tensor& average) { file.tensors["ema." + name] = to_file(average); });
    file.metadata["ema_updates"] = fmt::format("{}", state.ema->updates());
  }
  if (state.optimizer) {
    state.optimizer->state(
        [&](const std::string& name, Tensor& moment) { file.tensors["optimizer." + name] = to_file(moment); });
    file.metadata["optimizer_steps"] = fmt::format("{}", state.optimizer->steps_done());
  }
  for (const auto& [name, tensor] : state.extra) file.tensors["extra." + name] = tensor;
  write_safetensors(path, file);
}

CheckpointReader::CheckpointReader(const std::filesystem::path& path)
    : name_(path.string()), file_(read_safetensors(path)) {
  auto it = file_.metadata.find("format");
  if (it == file_.metadata.end() || it->second != format_name)
    throw InputError(fmt::format(
        "{}: not a checkpoint of vapo: its metadata has {}, expected format '{}'", name_,
        it == file_.metadata.end() ? "no format" : fmt::format("format '{}'", printable(it->second)), format_name));
  info_.step = metadata_number<int64_t>(name_, file_, "step");
  info_.seed = metadata_number<uint64_t>(name_, file_, "seed");
  info_.config = metadata(name_, file_, "config");
  for (auto t = file_.tensors.lower_bound("extra."); t != file_.tensors.end() && t->first.starts_with("extra.");
       ++t)
    info_.extra[t->first.substr(6)] = t->second;
}

bool CheckpointReader::has_ema() const { return any_under(file_, "ema."); }

void CheckpointReader::load_parameters(Module& module) const {
  Loader loader(name_, file_);
  loader.take_parameters("param.", module);
  loader.take_buffers(module);
  loader.write();
}

void CheckpointReader::load_ema_as_parameters(Module& module) const {
  if (!has_ema())
    throw InputError(
        fmt::format("{}: holds no averaged parameters ('ema.…'). Hint: it was trained without EMA", name_));
  Loader loader(name_, file_);
  loader.take_parameters("ema.", module);
  loader.take_buffers(module);
  loader.write();
}

void CheckpointReader::load_moments(Optimizer& optimizer) const {
  Loader loader(name_, file_);
  optimizer.state([&](const std::string& name, Tensor& moment) { loader.take("optimizer." + name, moment); });
  loader.refuse_others("optimizer.");
  auto steps = metadata_number<int64_t>(name_, file_, "optimizer_steps");
  loader.write();
  optimizer.set_steps_done(steps);
}

void CheckpointReader::load_training_state(Module& module, Ema* ema, Optimizer& optimizer) const {
  Loader loader(name_, file_);
  loader.take_parameters("param.", module);
  loader.take_buffers(module);
  if (ema) ema->state([&](const std::string& name, Tensor& average) { loader.take("ema." + name, average); });
  loader.refuse_others("ema.");
  optimizer.state([&](const std::string& name, Tensor& moment) { loader.take("optimizer." + name, moment); });
  loader.refuse_others("optimizer.");
  auto steps = metadata_number<int64_t>(name_, file_, "optimizer_steps");
  int64_t updates = ema ? metadata_number<int64_t>(name_, file_, "ema_updates") : 0;
  loader.write();
  optimizer.set_steps_done(steps);
  if (ema) ema->set_updates(updates);
}

}  // namespace vapo::nn
