#pragma once
// Classifiers from files, the images that commands name, and what a classifier says of them.

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "apps/run/model.h"
#include "data/sets/images.h"
#include "vapo/networks/classifier.h"

namespace vapo::app {

// A checkpoint (nn/checkpoint.h) whose config is one JSON object of kind "classifier": classes and image shape of
// the set it learned, and the widths.
void save_classifier(const std::filesystem::path& file, Classifier& classifier, const std::string& set,
                     uint64_t seed, int64_t steps);
struct ImageClassifier {
  std::string file, set;
  std::unique_ptr<Classifier> network;
  Device device = Device::cpu;
};
// Throws IoError, or InputError naming the file where it holds something else.
ImageClassifier open_classifier(const std::filesystem::path& file, Device device);

// What a command that takes no config is told of folders of images.
struct FolderFlags {
  bool skip_unreadable = false;
  int64_t size = 0;

  void add_to(CLI::App& command, bool with_size);  // --skip-unreadable; --size
  // Of a model that images are brought to the size of; 0: of --size.
  data::ImageOptions options(int64_t of_model = 0) const;
};

struct NamedImages {
  std::string name;  // as it was asked for
  data::ImageSet set;
};
// A note for each: files that could not be read, files left out by kind, other remarks.
void tell(const std::string& name, const data::ImageSet& set);
// "NAME" of a set or "NAME:train", "NAME:validation", "NAME:test" (of `path`, empty: below $VAPO_DATA); or a folder
// of pictures, perhaps in subfolders by class; one such file; .npy of u8 pixels; .npz with them as arr_0.
bool names_a_set(const std::string& name);
NamedImages read_named_images(const std::string& name, const std::string& path, data::Subset usual,
                              const data::ImageOptions& options = {});

// The labels of images as a model numbers its classes: by name, where both name theirs. Throws InputError where the
// model has no classes, the images have no labels, or a class is none of the model's.
Tensor labels_for(const Model& model, const NamedImages& images);

Tensor as_input(const Tensor& pixels);  // u8 → f32 in [−1,1]
// Of u8 (N,H,W,C), in batches, on the CPU. Throw InputError where the shape is another than the classifier's.
Tensor features_of(const ImageClassifier& classifier, const NamedImages& images);  // (N,features)
Tensor logits_of(const ImageClassifier& classifier, const NamedImages& images);    // (N,classes)

// What logits (N,classes) say.
struct Reading {
  std::vector<int64_t> read_as;  // images of each class
  double sure = 0;               // share of images whose class has at least 0.9 of the probability
};
Reading reading_of(const Tensor& logits);

struct Verdict {
  int64_t count = 0, errors = 0;
  double cross_entropy = 0, accuracy = 0;
  Reading reading = {};
};
// Throws InputError where the images have no labels, or labels beyond the classifier's classes.
Verdict judge(const ImageClassifier& classifier, const NamedImages& images);

}  // namespace vapo::app
