// Golden model names → vapo/: networks with given parameters, training losses, flows.

#include <algorithm>
#include <cctype>
#include <memory>

#include "autograd/grad.h"
#include "golden.h"
#include "vapo/loss.h"
#include "vapo/networks/mlp.h"
#include "vapo/networks/unet.h"
#include "vapo/networks/wide_resnet.h"
#include "vapo/sampling/ode.h"
#include "vapo/training/training_step.h"

namespace golden {
namespace {

// "layers.10" after "layers.9": digits compare as numbers.
bool natural_less(const std::string& a, const std::string& b) {
  auto digit = [](const std::string& s, size_t i) {
    return i < s.size() && std::isdigit(static_cast<unsigned char>(s[i]));
  };
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a, i) && digit(b, j)) {
      size_t k = i, l = j;
      while (digit(a, k)) ++k;
      while (digit(b, l)) ++l;
      std::string x = a.substr(i, k - i), y = b.substr(j, l - j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
      i = k, j = l;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
  return a.size() - i < b.size() - j;
}

// An image network whose images are channels first, as in the file.
class ChannelsFirst : public Potential {
 public:
  explicit ChannelsFirst(std::unique_ptr<Potential> network) : network_(std::move(network)) {}
  Var operator()(const Var& x, const Var& t, const Tensor& y,
                 const std::optional<RandomKey>& dropout) const override {
    return (*network_)(channels_last(x), t, y, dropout);
  }
  bool autonomous() const override { return network_->autonomous(); }
  void parameters(const nn::ParameterVisitor& visit) override { network_->parameters(visit); }
  const Potential& channels_last_network() const { return *network_; }

 private:
  std::unique_ptr<Potential> network_;
};

// Puts the file's parameters into the module: by name, or, where the file has other names, each into the first free
// place of its shape, both in natural order.
void set_parameters(nn::Module& module, const Named& given) {
  std::vector<nn::NamedParameter> places = nn::named_parameters(module);
  auto same_name = [&](const nn::NamedParameter& p) { return given.contains(p.name); };
  if (std::all_of(places.begin(), places.end(), same_name) && places.size() == given.size()) {
    for (nn::NamedParameter& p : places) {
      const Var& x = given.at(p.name);
      if (x.shape() != p.parameter->shape())
        throw InputError(fmt::format("'param.{}' has shape {}, the network expects {}", p.name, x.shape().str(),
                                     p.parameter->shape().str()));
      *p.parameter = x;
    }
    return;
  }
  auto by_name = [](const auto& a, const auto& b) { return natural_less(a.name, b.name); };
  std::sort(places.begin(), places.end(), by_name);
  std::vector<std::string> names;
  for (const auto& [name, x] : given) names.push_back(name);
  std::sort(names.begin(), names.end(), natural_less);
  for (const std::string& name : names) {
    const Var& x = given.at(name);
    auto place = std::find_if(places.begin(), places.end(),
                              [&](const auto& p) { return p.parameter->shape() == x.shape(); });
    if (place == places.end())
      throw InputError(fmt::format("'param.{}' {} fits no parameter of the network", name, x.shape().str()));
    *place->parameter = x;
    places.erase(place);
  }
  if (!places.empty())
    throw InputError(fmt::format("no parameter of the file fits the network's '{}' {}", places[0].name,
                                 places[0].parameter->shape().str()));
}

template <class Network, class Options>
std::unique_ptr<Potential> image_network(Options o, const Json& attrs, const Case& c) {
  o.in_channels = attr<int64_t>(attrs, "in_channels", o.in_channels);
  o.height = o.width = attr<int64_t>(attrs, "image_size", o.height);
  o.classes = attr<int64_t>(attrs, "classes", o.classes);
  o.groups = attr<int64_t>(attrs, "groups", o.groups);
  o.time = attr(attrs, "time", o.time);
  o.head = from_name<Head>(attr(attrs, "head", std::string(name_of(o.head))));
  o.output_scale = attr(attrs, "output_scale", o.output_scale);
  auto network = std::make_unique<Network>(o, 0, c.dtype);
  Named parameters = c.under("param.");
  for (auto& [name, x] : parameters) x = x.rank() > 2 ? channels_last(x) : x;  // weights of convolutions
  set_parameters(*network, parameters);
  return std::make_unique<ChannelsFirst>(std::move(network));
}

std::unique_ptr<Potential> unet(const Json& attrs, const Case& c) {
  UnetOptions o;
  o.base_width = attr(attrs, "base_width", o.base_width);
  o.multipliers = attr(attrs, "multipliers", o.multipliers);
  o.blocks_per_level = attr(attrs, "blocks_per_level", o.blocks_per_level);
  o.attention_downsamplings = attr(attrs, "attention_downsamplings", o.attention_downsamplings);
  o.heads = attr(attrs, "heads", o.heads);
  o.head_width = attr(attrs, "head_width", o.head_width);
  o.conv_resample = attr(attrs, "conv_resample", o.conv_resample);
  o.resblock_updown = attr(attrs, "resblock_updown", o.resblock_updown);
  o.new_attention_order = attr(attrs, "new_attention_order", o.new_attention_order);
  o.scale_shift = attr(attrs, "scale_shift", o.scale_shift);
  return image_network<UnetPotential>(o, attrs, c);
}

std::unique_ptr<Potential> wide_resnet(const Json& attrs, const Case& c) {
  WideResnetOptions o;
  o.base_width = attr(attrs, "base_width", o.base_width);
  o.depth = attr(attrs, "depth", o.depth);
  o.widen = attr(attrs, "widen", o.widen);
  o.norm = from_name<WideResnetOptions::Norm>(attr<std::string>(attrs, "norm", "none"));
  o.activation = from_name<nn::Activation>(attr<std::string>(attrs, "activation", "silu"));
  return image_network<WideResnetPotential>(o, attrs, c);
}

// The network with the file's parameters; null where there is no network of that name.
std::unique_ptr<Potential> make_network(const std::string& op, const Json& attrs, const Case& c) {
  if (op == "unet_potential") return unet(attrs, c);
  if (op == "wide_resnet_potential") return wide_resnet(attrs, c);
  if (op != "mlp_potential") return nullptr;
  MlpOptions options;
  options.in_features = attr<int64_t>(attrs, "in_features");
  options.hidden = attr<std::vector<int64_t>>(attrs, "hidden");
  options.activation = from_name<nn::Activation>(attr<std::string>(attrs, "activation", "silu"));
  options.time_embedding = attr<int64_t>(attrs, "time_embedding", 0);
  options.time_scale = attr(attrs, "time_scale", 1.0);
  options.classes = attr<int64_t>(attrs, "classes", 0);
  auto network = std::make_unique<MlpPotential>(options, 0, c.dtype);
  set_parameters(*network, c.under("param."));
  return network;
}

std::unique_ptr<Potential> network_of(const Case& c) {
  auto name = attr<std::string>(c.attrs, "network");
  auto network = make_network(name, attr<Json>(c.attrs, "network_attrs"), c);
  if (!network) throw InputError(fmt::format("unknown network '{}'", name));
  return network;
}

template <class E>
E choice(const Json& attrs, const char* key, std::initializer_list<std::pair<const char*, E>> table) {
  auto name = attr<std::string>(attrs, key, table.begin()->first);
  for (const auto& [known, value] : table)
    if (name == known) return value;
  throw InputError(fmt::format("attribute '{}' is '{}'", key, name));
}

// weights: four numbers in the order of the terms, or an object by the terms' names.
void set_weights(const Json& weights, LossOptions& o) {
  double* places[] = {&o.first_weight, &o.second_weight, &o.dirichlet_weight, &o.time_weight};
  const std::vector<std::string> names[] = {
      {"correlation", "covariance", "first"}, {"cosine", "dot", "dist", "second"}, {"dirichlet"}, {"time"}};
  if (weights.is_array() && weights.size() > 4) throw InputError("attribute 'weights' has more than four numbers");
  for (size_t i = 0; i < 4; ++i) {
    if (weights.is_array() && i < weights.size())
      *places[i] = weights[i].get<double>();
    else if (weights.is_object())
      for (const std::string& name : names[i]) *places[i] = attr(weights, name, *places[i]);
  }
}

LossOptions loss_options(const Case& c) {
  using O = LossOptions;
  const Json& attrs = c.attrs;
  O o;
  const char* key = find_attr(attrs, "loss") ? "loss" : "estimator";
  attr<std::string>(attrs, key);
  o.estimator = choice<O::Estimator>(attrs, key,
                                     {{"published", O::Estimator::published},
                                      {"covariance", O::Estimator::covariance},
                                      {"inner_product", O::Estimator::inner_product}});
  o.weight =
      choice<O::Weight>(attrs, "weight", {{"one", O::Weight::one}, {"preconditioned", O::Weight::preconditioned}});
  o.first = choice<O::FirstTerm>(
      attrs, "first", {{"correlation", O::FirstTerm::correlation}, {"covariance", O::FirstTerm::covariance}});
  o.second = choice<O::SecondTerm>(attrs, "second",
                                   {{"cosine", O::SecondTerm::cosine},
                                    {"cos", O::SecondTerm::cosine},
                                    {"dot", O::SecondTerm::dot},
                                    {"dist", O::SecondTerm::dist}});
  if (const Json* weights = find_attr(attrs, "weights")) set_weights(*weights, o);
  return o;
}

Named loss(const Case& c) {
  auto network = network_of(c);
  Path path =
      path_from_name(attr<std::string>(c.attrs, "path"), attr(c.attrs, "omega", 1.0), attr(c.attrs, "nu", 0.1));
  path.blur = attr(c.attrs, "blur", path.blur);
  LossBatch batch{c.input("data").value(), c.input("t").value(), c.input("eps").value(), c.labels()};
  const Potential* phi = network.get();
  if (auto* images = dynamic_cast<const ChannelsFirst*>(phi)) {  // a path that blurs must know rows from channels
    phi = &images->channels_last_network();
    batch.data = channels_last(batch.data).value(), batch.eps = channels_last(batch.eps).value();
  }
  LossTerms terms = vapo_loss(*phi, path, batch, loss_options(c));
  Named out(terms.terms.begin(), terms.terms.end());
  out["total"] = terms.total;
  return out;
}

// Step s on data[s], t[s], eps[s]: Adam with each gradient entry clamped ("std"), and the average.
Named training(const Case& c) {
  auto network = network_of(c);
  for (nn::NamedParameter& p : nn::named_parameters(*network))
    *p.parameter = Var::leaf(p.parameter->value().clone(), p.name);
  TrainingStep train(*network, {.optimizer = {.eps = attr(c.attrs, "eps", 1e-8)},
                                .clip = {.kind = nn::ClipOptions::Kind::std},
                                .ema_decay = attr(c.attrs, "ema_decay", 0.9999),
                                .device = c.input("data").value().device(),
                                .recorded = false});
  Path path = path_from_name(attr<std::string>(c.attrs, "path"));
  LossOptions options = loss_options(c);
  std::vector<double> losses;
  auto at = [&](const char* name, int64_t s) {
    const Tensor& all = c.input(name).value();
    return kernel::slice(all, 0, s, s + 1, 1).reshape(Shape(std::span(all.shape().begin() + 1, all.shape().end())));
  };
  for (int64_t s = 0; s < attr<int64_t>(c.attrs, "steps"); ++s) {
    auto loss = [&](const TrainingStep::Add& add) {
      add(vapo_loss(*network, path, {at("data", s), at("t", s), at("eps", s)}, options));
    };
    losses.push_back(train(s, attr<double>(c.attrs, "learning_rate"), loss).loss);
  }
  Tensor all = Tensor::from(losses, {static_cast<int64_t>(losses.size())});
  Named out{{"loss", all.to(c.dtype).to(c.input("data").value().device())}};
  auto put = [&](const std::string& name, const Var& x) { out[name] = x.rank() > 2 ? channels_first(x) : x; };
  for (const auto& p : train.optimizer().parameters()) put("param." + p.name, *p.parameter);
  train.ema()->state([&](const std::string& name, Tensor& x) { put("ema." + name, x); });
  return out;
}

Named flow(const Case& c) {
  auto network = network_of(c);
  OdeOptions options;
  options.method = from_name<OdeMethod>(attr<std::string>(c.attrs, "method"));
  options.rtol = attr(c.attrs, "rtol", options.rtol);
  options.atol = attr(c.attrs, "atol", options.atol);
  options.steps = attr(c.attrs, "steps", options.steps);
  Tensor y = c.labels();
  Field field = [&](const Tensor& x, double t) { return gradient(*network, x, t, y); };
  OdeResult result =
      integrate(field, c.input("x0").value(), attr<double>(c.attrs, "t0"), attr<double>(c.attrs, "t1"), options);
  return {{"y", result.x}, {"nfe", Tensor::scalar(static_cast<double>(result.nfe), DType::f64)}};
}

}  // namespace

ModelOutputs evaluate_model(const Case& c) {
  if (c.op == "vapo_loss") return {.outputs = loss(c), .exact = {}, .known = true};
  if (c.op == "vapo_training") return {.outputs = training(c), .exact = {}, .differentiable = false, .known = true};
  if (c.op == "ode_solve") return {.outputs = flow(c), .exact = {"nfe"}, .differentiable = false, .known = true};
  if (c.op == "inception_fid")
    return {.outputs = inception_features(c), .exact = {}, .differentiable = false, .known = true};
  auto network = make_network(c.op, c.attrs, c);
  if (!network) return {};
  const Var& x = c.input("x");
  Var t = c.inputs.contains("in.t") ? c.input("t") : Var(Tensor::zeros({x.dim(0)}, c.dtype));
  return {.outputs = {{"", (*network)(x, t, c.labels())}}, .exact = {}, .known = true};
}

}  // namespace golden
