// Checkpoints: bits there and back, resuming, and one clear error for every way a file can be wrong.

#include "nn/checkpoint.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>

#include "nn/layers.h"
#include "tensor/io/atomic_file.h"

using namespace vapo;
namespace fs = std::filesystem;

namespace {

struct Folder {  // an own folder, gone at the end
  Folder() : path(fs::temp_directory_path() / fmt::format("vapo-checkpoint-test-{}", getpid())) {
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

struct Net : nn::Module {
  explicit Net(uint64_t seed, DType dtype = DType::f32, int64_t width = 5)
      : layer(3, width, {seed}, true, dtype), counts(randn({2}, {seed, 9}, dtype)) {}
  void parameters(const nn::ParameterVisitor& visit) override { nn::visit_child("layer", layer, visit); }
  void buffers(const nn::BufferVisitor& visit) override { visit("counts", counts); }
  nn::Linear layer;
  Tensor counts;
};

struct Run {
  explicit Run(uint64_t seed, DType dtype = DType::f32, nn::OptimizerOptions options = {})
      : net(seed, dtype), ema(nn::named_parameters(net), 0.99), optimizer(nn::named_parameters(net), options) {}
  void train(int64_t steps) {
    for (int64_t i = 0; i < steps; ++i, ++step) {
      auto draw = [&](const Var& p, uint32_t stream) {
        return Var(randn(p.shape(), {5, stream, static_cast<uint64_t>(step)}, p.dtype()));
      };
      std::vector<Var> g = {draw(net.layer.weight, 0), draw(net.layer.bias, 1)};
      optimizer.step(g, 0.01, {.kind = nn::ClipOptions::Kind::norm, .limit = 2}, &ema);
    }
  }
  nn::TrainingState state() {
    return {&net, &ema, &optimizer, step, 77, "[train]\nsteps = 3\n", {{"mean", Tensor::full({2}, 0.5)}}};
  }
  void load(const nn::CheckpointReader& reader) {
    reader.load_training_state(net, &ema, optimizer);
    step = reader.info().step;
  }
  std::string bits() {
    std::string all;
    auto append = [&](const Tensor& x) { all.append(static_cast<const char*>(x.raw()), x.bytes()); };
    net.parameters([&](const std::string&, Var& p) { append(p.value()); });
    net.buffers([&](const std::string&, Tensor& b) { append(b); });
    ema.state([&](const std::string&, Tensor& x) { append(x); });
    optimizer.state([&](const std::string&, Tensor& x) { append(x); });
    return all + fmt::format("{} {} {}", step, optimizer.steps_done(), ema.updates());
  }
  Net net;
  nn::Ema ema;
  nn::Optimizer optimizer;
  int64_t step = 0;
};

}  // namespace

TEST_CASE("a checkpoint brings back every bit, and the run goes on as if never stopped") {
  Folder folder;
  fs::path path = folder.path / "a.safetensors";
  for (DType dtype : {DType::f32, DType::f64}) {
    Run straight(1, dtype), stopped(1, dtype), resumed(2, dtype);
    straight.train(7);
    stopped.train(4);
    nn::save_checkpoint(path, stopped.state());
    CHECK(resumed.bits() != stopped.bits());
    nn::CheckpointReader reader(path);
    resumed.load(reader);
    CHECK(resumed.bits() == stopped.bits());
    resumed.train(3);
    CHECK(resumed.bits() == straight.bits());
    CHECK(reader.info().step == 4);
    CHECK(reader.info().seed == 77);
    CHECK(reader.info().config == "[train]\nsteps = 3\n");
    CHECK(reader.info().extra.at("mean").at(1) == 0.5);
    CHECK(reader.has_ema());
  }
  CHECK(std::distance(fs::directory_iterator(folder.path), fs::directory_iterator()) ==
        1);  // no temporary file stays
}

TEST_CASE("in the file, convolutions are channels first, as in PyTorch") {
  struct Convolutions : nn::Module {
    explicit Convolutions(uint64_t seed)
        : conv(2, 4, {3, 5}, {seed}),
          pointwise(Var::leaf(randn({3, 1, 2}, {seed, 1}))),
          image(randn({1, 2, 3, 4}, {seed, 2})) {}
    void parameters(const nn::ParameterVisitor& visit) override {
      nn::visit_child("conv", conv, visit);
      visit("pointwise", pointwise);
    }
    void buffers(const nn::BufferVisitor& visit) override { visit("image", image); }
    nn::Conv2d conv;
    Var pointwise;
    Tensor image;
  } net(1), loaded(2), averaged(3);
  nn::Ema ema(nn::named_parameters(net), 0.99);
  nn::Optimizer optimizer(nn::named_parameters(net), {});
  std::vector<Var> g = {Var(randn({4, 3, 5, 2}, {4})), Var(randn({4}, {5})), Var(randn({3, 1, 2}, {6}))};
  optimizer.step(g, 0.01, {}, &ema);
  Folder folder;
  fs::path path = folder.path / "conv.safetensors";
  nn::save_checkpoint(path, {&net, &ema, &optimizer, 1, 0, "", {{"box", randn({2, 3, 4}, {7})}}});

  TensorFile file = read_safetensors(path);
  const Tensor &w = net.conv.weight.value(), &m = file.tensors["optimizer.m.conv.weight"];
  for (const char* name : {"param.conv.weight", "ema.conv.weight", "optimizer.v.conv.weight"})
    CHECK(file.tensors[name].shape() == Shape{4, 2, 3, 5});
  CHECK(file.tensors["param.pointwise"].shape() == Shape{3, 2, 1});
  CHECK(file.tensors["param.pointwise"].to_vector<float>() == net.pointwise.value().to_vector<float>());
  CHECK(file.tensors["buffer.image"].shape() == Shape{1, 4, 2, 3});
  CHECK(file.tensors["extra.box"].shape() == Shape{2, 3, 4});
  for (int64_t o = 0; o < 4; ++o)
    for (int64_t i = 0; i < 2; ++i)
      for (int64_t y = 0; y < 3; ++y)
        for (int64_t x = 0; x < 5; ++x) {
          int64_t there = ((o * 2 + i) * 3 + y) * 5 + x, here = ((o * 3 + y) * 5 + x) * 2 + i;
          REQUIRE(file.tensors["param.conv.weight"].at(there) == w.at(here));
          REQUIRE(m.at(there) == doctest::Approx(0.1 * g[0].value().at(here)));
        }

  nn::CheckpointReader reader(path);
  nn::Ema loaded_ema(nn::named_parameters(loaded), 0.99);
  nn::Optimizer loaded_optimizer(nn::named_parameters(loaded), {});
  reader.load_training_state(loaded, &loaded_ema, loaded_optimizer);
  reader.load_ema_as_parameters(averaged);
  CHECK(loaded.conv.weight.value().to_vector<float>() == w.to_vector<float>());
  CHECK(loaded.image.to_vector<float>() == net.image.to_vector<float>());
  CHECK(averaged.conv.weight.value().to_vector<float>() == ema.averages()[0].to_vector<float>());
  nn::save_checkpoint(folder.path / "again.safetensors",
                      {&loaded, &loaded_ema, &loaded_optimizer, 1, 0, "", reader.info().extra});
  CHECK(read_whole_file(folder.path / "again.safetensors") == read_whole_file(path));

  file.tensors["param.conv.weight"] = w;
  write_safetensors(path, file);
  CHECK_THROWS_WITH_AS(nn::CheckpointReader(path).load_parameters(loaded),
                       doctest::Contains("'param.conv.weight' has shape (4,3,5,2), expected (4,2,3,5)"),
                       InputError);
}

TEST_CASE("parameters alone, or the averages in their place") {
  Folder folder;
  fs::path path = folder.path / "b.safetensors";
  Run run(1);
  run.train(5);
  nn::save_checkpoint(path, run.state());
  nn::CheckpointReader reader(path);
  Net net(3), averaged(3), wide(3, DType::f64);
  reader.load_parameters(net);
  CHECK(net.layer.weight.value().to_vector<float>() == run.net.layer.weight.value().to_vector<float>());
  CHECK(net.counts.to_vector<float>() == run.net.counts.to_vector<float>());
  reader.load_ema_as_parameters(averaged);
  CHECK(averaged.layer.weight.value().to_vector<float>() == run.ema.averages()[0].to_vector<float>());
  CHECK(averaged.layer.bias.value().to_vector<float>() != net.layer.bias.value().to_vector<float>());
  reader.load_parameters(wide);  // f32 numbers in an f64 module
  CHECK(wide.layer.weight.value().at(4) == net.layer.weight.value().at(4));

  nn::save_checkpoint(path, {.module = &run.net});
  CHECK_FALSE(nn::CheckpointReader(path).has_ema());
  CHECK_THROWS_WITH_AS(nn::CheckpointReader(path).load_ema_as_parameters(net),
                       doctest::Contains("no averaged parameters"), InputError);
}

TEST_CASE("a momentum optimizer keeps its one moment") {
  Folder folder;
  fs::path path = folder.path / "c.safetensors";
  nn::OptimizerOptions sgd{.kind = nn::OptimizerOptions::Kind::sgd, .momentum = 0.9};
  Run stopped(1, DType::f32, sgd), resumed(2, DType::f32, sgd), adam(2);
  stopped.train(3);
  nn::save_checkpoint(path, stopped.state());
  nn::CheckpointReader reader(path);
  CHECK_THROWS_WITH_AS(adam.load(reader), doctest::Contains("'optimizer.v.layer.weight' is missing"), InputError);
  resumed.load(reader);
  CHECK(resumed.bits() == stopped.bits());
}

TEST_CASE("a file that does not fit is named with its tensor, and nothing is overwritten") {
  Folder folder;
  fs::path path = folder.path / "d.safetensors";
  Run good(1);
  good.train(2);
  nn::save_checkpoint(path, good.state());
  const TensorFile original = read_safetensors(path);
  auto fails = [&](const char* message, const std::function<void(TensorFile&)>& change) {
    TensorFile file = original;
    change(file);
    write_safetensors(path, file);
    Run run(2);
    std::string before = run.bits();
    CHECK_THROWS_WITH_AS(run.load(nn::CheckpointReader(path)), doctest::Contains(message), InputError);
    CHECK_THROWS_WITH(run.load(nn::CheckpointReader(path)), doctest::Contains("d.safetensors: "));
    CHECK(run.bits() == before);
  };
  auto tensor = [](const char* name, Tensor value) { return [=](TensorFile& f) { f.tensors[name] = value; }; };
  auto without = [](const char* name) { return [=](TensorFile& f) { f.tensors.erase(name); }; };
  auto metadata = [](const char* name, const char* value) {
    return [=](TensorFile& f) { f.metadata[name] = value; };
  };

  fails("'param.layer.bias' is missing", without("param.layer.bias"));
  fails("'buffer.counts' is missing", without("buffer.counts"));
  fails("'ema.layer.weight' is missing", without("ema.layer.weight"));
  fails("'optimizer.v.layer.bias' is missing", without("optimizer.v.layer.bias"));
  fails("'param.head' (2) belongs to nothing here", tensor("param.head", Tensor::zeros({2})));
  fails("'buffer.more' (1) belongs to nothing here", tensor("buffer.more", Tensor::zeros({1})));
  fails("'ema.head' (2) belongs to nothing here", tensor("ema.head", Tensor::zeros({2})));
  fails("'optimizer.s.x' (2) belongs to nothing here", tensor("optimizer.s.x", Tensor::zeros({2})));
  fails("'param.layer.weight' has shape (3,5), expected (5,3)",
        tensor("param.layer.weight", Tensor::zeros({3, 5})));
  fails("'param.layer.bias' is i64, expected f32", tensor("param.layer.bias", Tensor::zeros({5}, DType::i64)));
  fails("'optimizer.m.layer.bias' has shape (1)", tensor("optimizer.m.layer.bias", Tensor::zeros({1})));

  fails("not a checkpoint of vapo", [](TensorFile& f) { f.metadata.clear(); });
  fails("format 'other'", metadata("format", "other"));
  fails("'config' is missing", [](TensorFile& f) { f.metadata.erase("config"); });
  fails("'optimizer_steps' is missing", [](TensorFile& f) { f.metadata.erase("optimizer_steps"); });
  fails("metadata 'step' is 'ten'", metadata("step", "ten"));
  fails("metadata 'step' is '-3'", metadata("step", "-3"));
  fails("metadata 'seed' is '99999999999999999999'", metadata("seed", "99999999999999999999"));
  fails("metadata 'ema_updates' is '1.5'", metadata("ema_updates", "1.5"));
}

TEST_CASE("averages in a file that nobody asks for are an error, and so are averages that it lacks") {
  Folder folder;
  fs::path path = folder.path / "e.safetensors";
  Run run(1);
  nn::save_checkpoint(path, run.state());
  CHECK_THROWS_WITH_AS(nn::CheckpointReader(path).load_training_state(run.net, nullptr, run.optimizer),
                       doctest::Contains("'ema.layer.bias'"), InputError);
  nn::save_checkpoint(path, {.module = &run.net, .optimizer = &run.optimizer});
  CHECK_THROWS_WITH_AS(run.load(nn::CheckpointReader(path)), doctest::Contains("'ema.layer.weight' is missing"),
                       InputError);
  nn::CheckpointReader(path).load_training_state(run.net, nullptr, run.optimizer);
}

TEST_CASE("files that cannot be read or written") {
  Folder folder;
  Run run(1);
  CHECK_THROWS_WITH_AS(nn::CheckpointReader(folder.path / "none.safetensors"),
                       doctest::Contains("none.safetensors"), IoError);
  CHECK_THROWS_WITH_AS(nn::save_checkpoint(folder.path / "no" / "such" / "f.safetensors", run.state()),
                       doctest::Contains("f.safetensors"), IoError);
  fs::path path = folder.path / "cut.safetensors";
  nn::save_checkpoint(path, run.state());
  fs::resize_file(path, fs::file_size(path) - 5);
  CHECK_THROWS_WITH_AS(nn::CheckpointReader{path}, doctest::Contains("cut.safetensors"), InputError);
}
