#include "apps/run/version.h"

namespace vapo::app {

const char* version() { return VAPO_VERSION; }
const char* commit() { return VAPO_COMMIT; }

}  // namespace vapo::app
