// catalogue/catalogue.hpp: the parameter lists of all rooms.
#pragma once

#include "config/param.hpp"

namespace posthorn::catalogue {

/// Every room's list; views of constants.
config::ParamLists all_parameters();

}  // namespace posthorn::catalogue
