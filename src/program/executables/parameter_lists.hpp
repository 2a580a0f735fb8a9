// executables/parameter_lists.hpp: the parameters of all rooms, for programs that judge main.cf as a whole.
#pragma once

#include "config/param.hpp"

namespace posthorn::executables {

/// Every room's list; views of constants.
config::ParamLists all_parameters();

}  // namespace posthorn::executables
