// vapo inpaint: images with a part missing, painted by the flow.

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "apps/run/exit_code.h"
#include "apps/run/image_features.h"
#include "apps/sampling/image_parts.h"
#include "apps/sampling/sampler_options.h"
#include "data/pictures/image_file.h"
#include "data/pictures/image_kinds.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"
#include "vapo/sampling/composition.h"
#include "vapo/sampling/inpainting.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

struct InpaintOptions {
  CommonOptions common;
  SamplerFlags sampler;
  std::string model, out, images, data, mask = "box", classifier;
  std::optional<int64_t> n;
  std::optional<double> guidance;
  bool with_labels = false, published = false, renoised = false;
  FolderFlags folder;
};

constexpr double kPublishedStart = 2.5e-5;

NamedImages images_of(const InpaintOptions& options, const Model& model) {
  bool square = model.sample[0] == model.sample[1];
  data::ImageOptions read = options.folder.options(square ? model.sample[0] : 0);
  read.size_hint = "images of the model's size, " + model.sample.str();
  NamedImages images = read_named_images(options.images, options.data, data::Subset::test, read);
  Shape shape = images.set.image_shape();
  if (shape != model.sample)
    throw InputError(fmt::format("{}: images of {}, the model {} paints {} (height, width, channels)", images.name,
                                 shape.str(), model.file.string(), model.sample.str()));
  int64_t n = options.n.value_or(std::min<int64_t>(16, images.set.count()));
  if (n > images.set.count())
    throw InputError(fmt::format("{}: {} images, --number asks for {}", images.name, images.set.count(), n));
  images.set.pixels = kernel::slice(images.set.pixels, 0, 0, n, 1);
  if (images.set.labels.defined()) images.set.labels = kernel::slice(images.set.labels, 0, 0, n, 1);
  return images;
}

// 1 where a pixel is known: (H,W,1), or of each image (n,H,W,1). White pixels of a file are the missing ones; of a file
// whose values are 0 and 1, the ones.
Tensor mask_of(const InpaintOptions& options, const Model& model, int64_t n) {
  int64_t h = model.sample[0], w = model.sample[1];
  if (options.mask == "box") return box_mask(h, w);
  if (options.mask == "half") return half_mask(h, w);
  if (options.mask == "random")
    return random_mask(n, h, w, {static_cast<uint64_t>(options.sampler.seed), kMaskStream, 0});
  std::error_code error;
  if (!data::is_image_name(options.mask) && !std::filesystem::is_regular_file(options.mask, error))
    throw InputError(fmt::format("--mask {}: expected box, half, random or a picture", options.mask));
  Tensor picture = data::read_image(options.mask);
  if (picture.dim(0) != h || picture.dim(1) != w)
    throw InputError(fmt::format("{}: a mask of {}×{}, the images are {}×{} (height × width)", options.mask,
                                 picture.dim(0), picture.dim(1), h, w));
  const uint8_t* values = picture.data<uint8_t>();
  int highest = *std::max_element(values, values + picture.numel());
  if (highest == 1) note(fmt::format("{}: a mask of 0 and 1: missing is where it is 1", options.mask));
  Tensor mask = Tensor::empty({h, w, 1});
  int64_t missing = 0;
  for (int64_t i = 0; i < h * w; ++i) {
    bool known = values[i * picture.dim(2)] < (highest == 1 ? 1 : 128);
    mask.mutable_data<float>()[i] = known ? 1 : 0;
    missing += known ? 0 : 1;
  }
  if (missing == 0) note(fmt::format("{}: nothing is missing: no pixel of it is white", options.mask));
  return mask;
}

// FNV-1a over the elements: tells other images and masks of the same name.
std::string fingerprint(const Tensor& x) {
  uint64_t hash = 14695981039346656037U;
  const auto* bytes = static_cast<const unsigned char*>(x.raw());
  for (size_t i = 0; i < x.bytes(); ++i) hash = (hash ^ bytes[i]) * 1099511628211U;
  return fmt::format("{:016x}", hash);
}

// Everything per image, on the CPU.
struct Task {
  NamedImages images;
  KnownPixels known;  // values (n,H,W,C) in [−1,1]
  Tensor noise;       // (n,H,W,C) of N(0,I)
  bool one_mask;      // for all
  KnownPixels rows(int64_t begin, int64_t count) const {
    Tensor values = kernel::slice(known.values, 0, begin, begin + count, 1);
    return {values, one_mask ? known.mask : kernel::slice(known.mask, 0, begin, begin + count, 1)};
  }
};

std::shared_ptr<Potential> potential_of(const Model& model, const InpaintOptions& options, const Task& task,
                                        int64_t begin, int64_t count) {
  std::shared_ptr<Potential> phi = model.potential;
  if (options.with_labels)
    phi = guided(phi, model.recipe.classes(), kernel::slice(task.images.set.labels, 0, begin, begin + count, 1),
                 options.guidance.value_or(0));
  KnownPixels known = task.rows(begin, count);
  known.values = known.values.to(model.device);
  if (!options.renoised) return inpainting(phi, known);
  return inpainting_renoised(phi, known, model.path(), kernel::slice(task.noise, 0, begin, begin + count, 1));
}

// In [−1,1], the missing pixels in the middle of it.
Tensor masked_pixels(const Task& task) {
  return data::to_pixels(completed(Tensor::zeros(task.known.values.shape()), task.known));
}

struct Agreement {
  int64_t known = 0, unchanged = 0;
};
Agreement compare_known(const Task& task, const Tensor& pixels) {
  Agreement out;
  Tensor mask = kernel::broadcast_to(task.known.mask, pixels.shape());
  for (int64_t i = 0; i < pixels.numel(); ++i) {
    if (mask.data<float>()[i] == 0) continue;
    ++out.known;
    out.unchanged += pixels.data<uint8_t>()[i] == task.images.set.pixels.data<uint8_t>()[i];
  }
  return out;
}

// Blocks of three rows: original, masked, inpainted.
Tensor rows_of_three(const Tensor& original, const Tensor& masked, const Tensor& painted, int64_t columns) {
  std::vector<Tensor> parts;
  int64_t n = original.dim(0);
  for (int64_t begin = 0; begin < n; begin += columns) {
    int64_t end = std::min(n, begin + columns);
    for (const Tensor* x : {&original, &masked, &painted}) {
      parts.push_back(kernel::slice(*x, 0, begin, end, 1));
      Shape rest = x->shape();
      rest[0] = begin == 0 ? 0 : begin + columns - end;
      if (rest[0] > 0) parts.push_back(Tensor::full(rest, 255, DType::u8));
    }
  }
  return kernel::concat(parts, 0);
}

void classify(Evaluation& evaluation, const ImageClassifier& classifier, const Task& task, const Tensor& masked,
              const Tensor& painted) {
  auto accuracy = [&](const Tensor& pixels) {
    NamedImages images = task.images;
    images.set.pixels = pixels;
    return judge(classifier, images).accuracy;
  };
  double inpainted = accuracy(painted), grey = accuracy(masked), original = accuracy(task.images.set.pixels);
  double chance = 1 / static_cast<double>(classifier.network->options().classes);
  evaluation.summary("accuracy_inpainted", inpainted);
  evaluation.summary("accuracy_masked", grey);
  evaluation.summary("accuracy_original", original);
  evaluation.summary("chance", chance);
  evaluation.table(fmt::format("Share of images that the classifier {} reads as their label", classifier.file),
                   {"original", "inpainted", "masked (grey)", "chance"}, {{original, inpainted, grey, chance}});
}

void check_labels(const InpaintOptions& options, const Model& model, NamedImages& images) {
  if (!options.with_labels) {
    if (options.guidance) throw UsageError("--guidance: towards which class? Hint: --with-labels");
    return;
  }
  images.set.labels = labels_for(model, images);
}

int inpaint(InpaintOptions options) {
  Device device = options.common.apply();
  Model model = open_model(options.model, options.sampler.last_weights, device);
  check_of_images(model, "inpaint");
  options.sampler.own_steps = true;  // an image is then a function of its noise and its known pixels alone
  SamplerOptions s = options.sampler.over(model);
  if (options.renoised)
    check_can_be_renoised(model.path());
  else
    s.t_start = kPublishedStart;

  NamedImages images = images_of(options, model);
  check_labels(options, model, images);
  std::optional<ImageClassifier> classifier;
  if (!options.classifier.empty()) classifier = open_classifier(options.classifier, device);
  if (classifier && !images.set.labels.defined())
    throw InputError(fmt::format("{}: its images have no labels; leave out --classifier", images.name));
  int64_t n = images.set.count();
  Tensor mask = mask_of(options, model, n);
  Tensor start = prior_noise(model, n, static_cast<uint64_t>(options.sampler.seed)).to(Device::cpu);
  Task task{.images = images,
            .known = {data::from_pixels(images.set.pixels), mask},
            .noise = kernel::affine(start, 1 / model.path().prior_scale(), 0),
            .one_mask = mask.rank() == 3};

  Json asked = model_request(model);
  asked.update({{"images", images.name},
                {"pixels", fingerprint(images.set.pixels)},
                {"n", n},
                {"mask", options.mask},
                {"mask_pixels", fingerprint(mask)},
                {"form", options.renoised ? "renoised" : "published"},
                {"with_labels", options.with_labels},
                {"guidance", options.guidance.value_or(0)},
                {"classifier", options.classifier}});
  asked.update(sampler_facts(s, options.sampler));
  Evaluation evaluation(evaluation_folder(model, options.out, "inpaint"), "inpaint", asked);

  SampleRequest request = options.sampler.request(n);
  request.start = options.renoised ? start : completed(start, task.known);
  request.potential = [&](int64_t begin, int64_t count) {
    return potential_of(model, options, task, begin, count);
  };
  DrawnImages drawn = draw_images(evaluation, "part", model, s, request);
  Tensor painted = data::to_pixels(completed(data::from_pixels(drawn.pixels), task.known));
  Tensor masked = masked_pixels(task);
  int64_t columns = std::min<int64_t>(n, 16);
  data::write_png(evaluation.file("inpaint.png"),
                  data::image_grid(rows_of_three(images.set.pixels, masked, painted, columns), columns));
  write_npy(evaluation.file("inpaint.npy"), painted);
  write_npy(evaluation.file("masked.npy"), masked);

  Agreement known = compare_known(task, painted);
  evaluation.summary("images", images.name);
  evaluation.summary("mask", options.mask);
  evaluation.summary("form", options.renoised ? "renoised" : "published");
  evaluation.summary("known_share", static_cast<double>(known.known) / static_cast<double>(painted.numel()));
  evaluation.summary(
      "known_unchanged",
      known.known == 0 ? 1 : static_cast<double>(known.unchanged) / static_cast<double>(known.known));
  summarise_sampling(evaluation, model, s, n, options.sampler.seed, drawn.nfe, drawn.seconds);
  if (classifier) classify(evaluation, *classifier, task, masked, painted);
  evaluation.figure("inpaint.png",
                    "Original, masked and inpainted, one above the other; inpaint.npy has the pixels");
  evaluation.remark(
      options.renoised
          ? "Known pixels follow the path's law at every t, x = μ x̄ + σ ε with one ε, and are the given "
            "ones at the end."
          : "As published: known pixels are the given ones at every t, with no drift; the others start "
            "from noise at t = 2.5e-5.");
  evaluation.finish(options.common.json);
  return 0;
}

}  // namespace

void add_inpaint(CLI::App& app, Action& action) {
  auto o = std::make_shared<InpaintOptions>();
  CLI::App* command = app.add_subcommand("inpaint", "Paint the missing parts of images");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command
      ->add_option("--images", o->images,
                   "NAME, NAME:train, NAME:test (the default part); .npy, a picture, a folder")
      ->required();
  command->add_option("--data", o->data, "Where the set lies (default: $VAPO_DATA/…)");
  o->folder.add_to(*command, false);
  command
      ->add_option(
          "--mask", o->mask,
          "What is missing: box (the middle), half (the right), random (every second pixel); or a picture, "
          "where it is white")
      ->capture_default_str();
  CLI::Option* published =
      command->add_flag("--published", o->published, "Known pixels are clean at every t (the default)");
  command->add_flag("--renoised", o->renoised, "Known pixels as noisy as the path has them at t")
      ->excludes(published);
  command->add_option("-n,--number", o->n, "The first so many of the images (default: 16)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  command->add_option("--classifier", o->classifier, "How often does it read the label off the inpainted images");
  command->add_flag("--with-labels", o->with_labels, "Paint an image as one of its class");
  add_guidance(*command, o->guidance);
  command->add_option("--out", o->out, "Folder of the results (default: evaluations/inpaint beside the model)");
  o->sampler.add_to(*command);
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return inpaint(*o); }; });
}

}  // namespace vapo::app
