// vapo classifier: trains a small classifier of images, and tests one.

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/command.h"
#include "apps/run/image_features.h"
#include "data/sets/image_loader.h"
#include "nn/schedule.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/random.h"
#include "vapo/streams.h"
#include "vapo/training/training_step.h"

namespace vapo::app {
namespace {

struct TrainOptions {
  CommonOptions common;
  std::string set, data, out;
  int64_t epochs = 4, batch_size = 128, seed = 0, shift = 2;
  double learning_rate = 1e-3;
  bool flip = false;
  FolderFlags images;
};

struct TestOptions {
  CommonOptions common;
  std::string classifier, set, data;
  FolderFlags images;
};

// Every image moved by up to `most` pixels either way, its edge repeated: a function of the key.
Tensor moved(const Tensor& x, int64_t most, RandomKey key) {
  int64_t n = x.dim(0), height = x.dim(1), width = x.dim(2), channels = x.dim(3);
  Tensor out = Tensor::empty(x.shape()), shifts = randint({n, 2}, key, 2 * most + 1);
  const float* from = x.data<float>();
  float* to = out.mutable_data<float>();
  for (int64_t i = 0; i < n; ++i) {
    int64_t down = shifts.data<int64_t>()[2 * i] - most, right = shifts.data<int64_t>()[2 * i + 1] - most;
    for (int64_t y = 0; y < height; ++y) {
      const float* row = from + (i * height + std::clamp<int64_t>(y - down, 0, height - 1)) * width * channels;
      for (int64_t column = 0; column < width; ++column)
        to = std::copy_n(row + std::clamp<int64_t>(column - right, 0, width - 1) * channels, channels, to);
    }
  }
  return out;
}

ClassifierOptions options_for(const NamedImages& images) {
  const data::ImageSet& set = images.set;
  if (!set.labels.defined()) throw InputError(fmt::format("{}: its images have no labels to learn", images.name));
  int64_t classes = static_cast<int64_t>(set.classes.size());
  for (int64_t label : set.labels.to_vector<int64_t>()) classes = std::max(classes, label + 1);
  ClassifierOptions o;
  o.height = set.pixels.dim(1), o.width = set.pixels.dim(2), o.channels = set.pixels.dim(3);
  o.classes = std::max<int64_t>(classes, 2);
  return o;
}

int train(const TrainOptions& options) {
  Device device = options.common.apply();
  std::filesystem::path folder = std::filesystem::absolute(options.out).parent_path();
  if (!std::filesystem::is_directory(folder)) throw IoError(fmt::format("{}: no such folder", folder.string()));
  NamedImages images = read_named_images(options.set, options.data, data::Subset::train, options.images.options());
  NamedImages test = read_named_images(options.set, options.data, data::Subset::test, options.images.options());
  auto seed = static_cast<uint64_t>(options.seed);
  ImageClassifier classifier{.file = options.out, .set = options.set, .network = {}, .device = device};
  classifier.network = std::make_unique<Classifier>(options_for(images), seed);
  int64_t parameters = nn::parameter_count(*classifier.network);

  auto set = std::make_shared<const data::ImageSet>(images.set);
  data::ImageLoader loader(
      set,
      {.batch_size = options.batch_size, .seed = seed, .stream = kClassifierLoaderStream, .flip = options.flip});
  int64_t steps_per_epoch = std::max<int64_t>(1, set->count() / options.batch_size);
  int64_t steps = options.epochs * steps_per_epoch;
  note(circumstances(device));
  note(fmt::format("{} parameters, {} images of {}, {} steps", parameters, images.set.count(), options.set, steps));
  nn::Schedule schedule{.kind = nn::Schedule::Kind::cosine, .base = options.learning_rate, .total_steps = steps};
  TrainingStep training(*classifier.network, {.device = device, .recorded = false});
  Stopwatch watch;
  Verdict verdict;
  double loss_sum = 0;
  for (int64_t step = 0; step < steps; ++step) {
    data::ImageBatch batch = loader.batch(step);
    auto draw = static_cast<uint64_t>(step);
    Tensor x = moved(batch.x, options.shift, {seed, kShiftStream, draw}).to(device);
    const StepReport& report = training(step, schedule.at(step), [&](const TrainingStep::Add& add) {
      RandomKey dropout{seed, kClassifierDropoutStream, draw};
      add({.terms = {}, .total = cross_entropy(classifier.network->logits(x, dropout), batch.labels)});
    });
    if (!report.is_finite())
      throw DivergedError(fmt::format("the loss of step {} is {}, its gradient {}. Hint: a smaller --learning-rate",
                                      step + 1, report.loss, report.gradient_norm));
    loss_sum += report.loss;
    if ((step + 1) % steps_per_epoch != 0) continue;
    int64_t epoch = (step + 1) / steps_per_epoch;
    verdict = judge(classifier, test);
    save_classifier(options.out, *classifier.network, options.set, seed, step + 1);
    note(fmt::format("epoch {} of {}: loss {:.4f}, test accuracy {:.4f}, {:.1f} s", epoch, options.epochs,
                     loss_sum / static_cast<double>(steps_per_epoch), verdict.accuracy, watch.seconds()));
    loss_sum = 0;
  }
  print_result({{"out", options.out},
                {"set", options.set},
                {"parameters", parameters},
                {"epochs", options.epochs},
                {"steps", steps},
                {"test_n", verdict.count},
                {"test_errors", verdict.errors},
                {"test_accuracy", verdict.accuracy},
                {"test_cross_entropy", verdict.cross_entropy},
                {"seconds", watch.seconds()},
                {"seed", options.seed}},
               options.common.json);
  return 0;
}

int test(const TestOptions& options) {
  Device device = options.common.apply();
  ImageClassifier classifier = open_classifier(options.classifier, device);
  NamedImages images = read_named_images(options.set, options.data, data::Subset::test, options.images.options());
  Stopwatch watch;
  Json result = {{"classifier", classifier.file}, {"data", images.name}, {"n", images.set.count()}};
  Reading reading;
  if (images.set.labels.defined()) {
    Verdict verdict = judge(classifier, images);
    result.update(
        {{"errors", verdict.errors}, {"accuracy", verdict.accuracy}, {"cross_entropy", verdict.cross_entropy}});
    reading = verdict.reading;
  } else {
    note(fmt::format("{}: its images have no labels, and nothing tells how many are read right", images.name));
    reading = reading_of(logits_of(classifier, images));
  }
  result.update({{"sure", reading.sure}, {"read_as", reading.read_as}, {"seconds", watch.seconds()}});
  print_result(result, options.common.json);
  return 0;
}

void add_train_classifier(CLI::App& parent, Action& action) {
  auto o = std::make_shared<TrainOptions>();
  CLI::App* command =
      parent.add_subcommand("train", "Learn the classes of a set; its test part is judged each epoch");
  command->add_option("SET", o->set, "mnist, fashion_mnist, cifar10, cifar100 or svhn")->required();
  command->add_option("--data", o->data, "Where the set lies (default: $VAPO_DATA/…)");
  o->images.add_to(*command, true);
  command->add_option("--out", o->out, "The file to write, .safetensors; after every epoch")->required();
  command->add_option("--epochs", o->epochs, "Times the set is seen")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}))
      ->capture_default_str();
  command->add_option("--batch-size", o->batch_size, "Images a step")
      ->check(CLI::Range(int64_t{1}, int64_t{65'536}))
      ->capture_default_str();
  command->add_option("--learning-rate", o->learning_rate, "Of Adam at first; it falls to 0 as a cosine")
      ->check(real_from(1e-9, 1.0))
      ->capture_default_str();
  command->add_option("--shift", o->shift, "Move training images by up to so many pixels")
      ->check(CLI::Range(int64_t{0}, int64_t{64}))
      ->capture_default_str();
  command->add_flag("--flip", o->flip, "Mirror half of the training images");
  command->add_option("--seed", o->seed, "Of weights, order, shifts and dropout")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  o->common.precision = "fast";
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return train(*o); }; });
}

}  // namespace

void add_classifier(CLI::App& app, Action& action) {
  CLI::App* parent = app.add_subcommand("classifier", "Train a small classifier of images, or test one");
  parent->require_subcommand(1);
  add_train_classifier(*parent, action);
  auto o = std::make_shared<TestOptions>();
  CLI::App* command = parent->add_subcommand(
      "test", "What a classifier reads images as, and how often it is right where they have labels");
  command->add_option("FILE", o->classifier, "What vapo classifier train wrote")->required();
  command
      ->add_option("SET", o->set,
                   "NAME or NAME:train, NAME:validation, NAME:test (the default); u8 .npy, .npz; a folder")
      ->required();
  command->add_option("--data", o->data, "Where the set lies (default: $VAPO_DATA/…)");
  o->images.add_to(*command, true);
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return test(*o); }; });
}

}  // namespace vapo::app
