#pragma once
// The config of a run: a recipe (vapo/recipe.h), the data that it is for, and what a run keeps and shows. A TOML
// file may leave out any key; no other key is accepted. `vapo help keys` explains all of them.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/readers/table.h"
#include "vapo/recipe.h"
#include "vapo/standardization.h"

namespace vapo::app {

struct Config : Recipe {
  struct Data {
    std::string set;   // of points: two_moons, eight_gaussians, …; of images: mnist, cifar10, image_folder, …
    std::string path;  // of images: the set's folder; else a table (.csv, .npy), which wins over `set`
    // Of a table: which, in this order (data/readers/table.h); none: all.
    std::vector<data::NameOrNumber> columns;
    data::Missing missing = data::Missing::refuse;  // of a table: rows without a value in a column that is used
    double noise = 0.1;                             // of a synthetic set
    int64_t points = 0;     // of a synthetic set: size of the training set; 0 = fresh points at every step
    double held_out = 0.2;  // fraction of a table's rows or of the training images that training never sees
    Standardize standardize = Standardize::columns;
    double jitter = 0;             // standard deviation of noise added to every training row, after standardisation
    int64_t size = 0;              // images become size × size; 0 = as they are (celeba: 64)
    int64_t crop = 0;              // the centre square taken first; 0 = the set's usual one
    bool flip = false;             // images are mirrored half of the time
    bool dequantize = false;       // uniform noise of one grey level on every pixel
    bool skip_unreadable = false;  // of image_folder and celeba: go on without broken files, and count them
  } data;
  struct Run {
    std::string from;  // a checkpoint, or the folder of a run, whose weights training starts with
    int64_t checkpoint_every = 1000;
    int64_t keep_checkpoints = 3;
    int64_t log_every = 100;
    int64_t validate_every = 0;  // steps between losses of held-out images, by the averaged weights; 0 = none
    int64_t sample_every = 0;    // steps between grids of samples (PNG), from the averaged weights; 0 = none
    bool tensorboard = true;     // event files beside metrics.jsonl
    int64_t grid = 64;           // images in a grid
  } run;
  struct Density {
    int64_t grid = 200;      // cells per side
    int64_t points = 20000;  // samples compared with as many fresh points
    int64_t likelihood_points = 2000;
    int64_t sgld_particles = 1000, sgld_steps = 10000, sgld_burn_in = 2000;
  } density;
};
bool operator==(const Config& first, const Config& second);  // key by key

// Every key with the place of its value, in the order in which a config shows them.
Keys keys_of(Config& config);

// Throws InputError "file:line: key: what is wrong" for text that is no TOML, an unknown key, a wrong type, or a
// value out of range. `name` stands for the file in messages.
Config parse_config(std::string_view toml, const std::string& name);
Config load_config(const std::filesystem::path& file);  // the same; IoError where it cannot be read

// One "section.key=value" of the command line; the value as TOML writes it, and text that is no TOML value is a string.
void set_value(Config& config, const std::string& assignment);
std::string key_of(const std::string& assignment);  // "section.key"; throws UsageError where there is no '='

// data.path and train.from without the folder that the program happens to be in: absolute, without "." and "..".
void make_paths_absolute(Config& config);

struct Difference {
  std::string key, first, second;  // the values as TOML writes them
};
std::vector<Difference> differences(const Config& first, const Config& second);  // in the order of the keys

// Every key with its value, less the untouched tables of networks that the config does not use; parse_config gives
// the same Config back.
std::string to_toml(const Config& config);

}  // namespace vapo::app
