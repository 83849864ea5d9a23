#pragma once
// Descriptions of primitives in the words of oneDNN 2 (Debian 12) and of oneDNN 3 (Debian 13): the one makes them
// from a descriptor of the operation, the other from its arguments.

#include <oneapi/dnnl/dnnl.hpp>

namespace vapo::cpu {

#if DNNL_VERSION_MAJOR >= 3
template <class Op, class... Arguments>
typename Op::primitive_desc describe(const dnnl::engine& engine, const Arguments&... arguments) {
  return {engine, arguments...};
}
template <class Op, class... Arguments>
typename Op::primitive_desc describe_with(const dnnl::primitive_attr& attributes, const dnnl::engine& engine,
                                          const Arguments&... arguments) {
  return {engine, arguments..., attributes};
}
// Of an operation that takes the forward pass as a hint.
template <class Op, class Hint, class... Arguments>
typename Op::primitive_desc describe_gradient(const dnnl::engine& engine, const Hint& forward,
                                              const Arguments&... arguments) {
  return {engine, arguments..., forward};
}
#else
template <class Op, class... Arguments>
typename Op::primitive_desc describe(const dnnl::engine& engine, const Arguments&... arguments) {
  return {typename Op::desc(arguments...), engine};
}
template <class Op, class... Arguments>
typename Op::primitive_desc describe_with(const dnnl::primitive_attr& attributes, const dnnl::engine& engine,
                                          const Arguments&... arguments) {
  return {typename Op::desc(arguments...), attributes, engine};
}
template <class Op, class Hint, class... Arguments>
typename Op::primitive_desc describe_gradient(const dnnl::engine& engine, const Hint& forward,
                                              const Arguments&... arguments) {
  return {typename Op::desc(arguments...), engine, forward};
}
#endif

}  // namespace vapo::cpu
