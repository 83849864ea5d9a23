#pragma once
// The config of a run: one value per key, with its default. A TOML file may leave out any key; no other key is
// accepted.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace vapo::app {

struct Config {
  struct Data {
    std::string set;     // of points: two_moons, eight_gaussians, …; of images: mnist, cifar10, image_folder, …
    std::string path;    // of images: the set's folder; else a table (.csv, .npy), which wins over `set`
    double noise = 0.1;  // of a synthetic set
    int64_t points = 0;  // of a synthetic set: size of the training set; 0 = fresh points at every step
    double held_out = 0.2;         // fraction of a table's rows or of the training images that training never sees
    bool standardize = true;       // train on (x − mean)/scale per column
    double jitter = 0;             // standard deviation of noise added to every training row, after standardisation
    int64_t size = 0;              // images become size × size; 0 = as they are (celeba: 64)
    int64_t crop = 0;              // the centre square taken first; 0 = the set's usual one
    bool flip = false;             // images are mirrored half of the time
    bool dequantize = false;       // uniform noise of one grey level on every pixel
    bool skip_unreadable = false;  // of image_folder and celeba: go on without broken files, and count them
    bool operator==(const Data&) const = default;
  } data;
  struct Model {
    std::string kind = "mlp";  // or unet, wide_resnet: of images, each with a table of its own
    std::vector<int64_t> hidden = {192, 192, 192};
    std::string activation = "silu";
    int64_t time_embedding = 16;  // width, even; 0 = autonomous: Φ does not depend on t
    double time_scale = 1;
    std::string potential = "preconditioned";  // or raw
    std::string reference = "gaussian";        // of the preconditioned potential; or none
    bool operator==(const Model&) const = default;
  } model;
  struct Unet {  // vapo/networks/unet.h; the defaults are the published network
    int64_t base_width = 128;
    std::vector<int64_t> multipliers = {2, 2, 2};
    int64_t blocks_per_level = 4;
    std::vector<int64_t> attention_downsamplings = {2};
    int64_t heads = 1, head_width = -1;  // −1: as many heads; else heads of that width
    double dropout = 0.3;
    bool conv_resample = false, resblock_updown = false, new_attention_order = false, scale_shift = true;
    int64_t groups = 32;
    int64_t classes = 0;
    bool time = true;       // false: autonomous
    double time_scale = 1;  // of t before its sinusoids: a larger one tells near times apart
    bool operator==(const Unet&) const = default;
  } unet;
  struct WideResnet {  // vapo/networks/wide_resnet.h
    int64_t base_width = 16, depth = 28, widen = 10;
    std::string norm = "none";  // or group
    int64_t groups = 16;
    std::string activation = "silu";
    double dropout = 0;
    std::string head = "linear";  // or residual
    int64_t classes = 0;
    bool time = false;
    bool operator==(const WideResnet&) const = default;
  } wide_resnet;
  struct Homotopy {
    std::string kind = "cosine";  // or linear, tempered
    double omega = 1, nu = 0.1;   // tempered only
    bool operator==(const Homotopy&) const = default;
  } path;
  struct Loss {
    std::string estimator = "inner_product";  // or covariance, published
    std::string weight = "preconditioned";    // or one
    bool antithetic = false;
    std::string first_term = "correlation";  // or covariance
    std::string second_term = "cosine";      // or dot, dist
    double first_weight = 1, second_weight = 1, dirichlet_weight = 0.5, time_weight = 0.1;
    bool operator==(const Loss&) const = default;
  } loss;
  struct Train {
    std::string from;  // a checkpoint, or the folder of a run, whose weights training starts with
    int64_t steps = 10000;
    int64_t batch_size = 512;
    // A batch in so many parts, one after the other: less memory, the same loss and gradients. The published loss
    // with its correlation asks the network once more, forward alone, for the deviation over the whole batch.
    int64_t accumulate = 1;
    bool recompute = false;   // image networks keep no activations inside blocks: less memory, more time
    double label_drop = 0.2;  // of a network with classes: the share of images that are shown without theirs
    double learning_rate = 1e-3;
    std::string schedule = "constant";  // or cosine, step
    int64_t schedule_steps = 0;         // length of the cosine; 0 = train.steps
    int64_t warmup_steps = 0;
    double final_fraction = 0;  // of the learning rate at the end of the cosine
    int64_t step_every = 0;     // step: multiplied by step_factor every so many steps
    double step_factor = 0.1;
    std::string optimizer = "adam";  // or adamw, sgd, lamb
    double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0, momentum = 0;
    bool nesterov = false;
    std::string clip = "norm";  // or none, value, std
    double clip_limit = 1;
    double ema_decay = 0.999;  // 0 = no average
    bool ema_ramp = true;
    double t_min = 1e-5, t_max = 1;  // times are uniform in [t_min, t_max)
    int64_t checkpoint_every = 1000;
    int64_t keep_checkpoints = 3;
    int64_t log_every = 100;
    int64_t validate_every = 0;  // steps between losses of held-out images, by the averaged weights; 0 = none
    int64_t sample_every = 0;    // steps between grids of samples (PNG), from the averaged weights; 0 = none
    bool tensorboard = true;     // event files beside metrics.jsonl
    int64_t seed = 0;
    bool operator==(const Train&) const = default;
  } train;
  struct Sample {
    std::string method = "rk45";  // or euler, heun, rk23, sgld
    int64_t batch_size = 0;       // samples made at once; 0 = 4096 points, 64 images
    int64_t grid = 64;            // images in a grid
    int64_t steps = 100;          // euler, heun
    double rtol = 1e-3, atol = 1e-3;
    double t_start = 1e-5, t_end = 1;
    std::string energy = "marginal";  // of SGLD; or boltzmann
    int64_t sgld_steps = 1000;
    double step_size = 1e-3, temperature = 1;
    bool operator==(const Sample&) const = default;
  } sample;
  struct Energy {
    double marginal_t = 1;            // the time whose marginal energy stands for the data's
    std::string boltzmann = "given";  // f and g² given here; or path: those of the path at boltzmann_t
    double boltzmann_t = 1, f = -1, g_squared = 1;
    bool operator==(const Energy&) const = default;
  } energy;
  struct Density {
    int64_t grid = 200;      // cells per side
    int64_t points = 20000;  // samples compared with as many fresh points
    int64_t likelihood_points = 2000;
    int64_t sgld_particles = 1000, sgld_steps = 10000, sgld_burn_in = 2000;
    bool operator==(const Density&) const = default;
  } density;
  bool operator==(const Config&) const = default;
};

// Throws InputError "file:line: key: what is wrong" for text that is no TOML, an unknown key, a wrong type, or a
// value out of range. `name` stands for the file in messages.
Config parse_config(std::string_view toml, const std::string& name);
Config load_config(const std::filesystem::path& file);  // the same; IoError where it cannot be read

// One "section.key=value" of the command line; the value as TOML writes it, and text that is no TOML value is a
// string.
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
