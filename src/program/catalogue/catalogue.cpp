#include "catalogue/catalogue.hpp"

#include "schedule/params.hpp"
#include "send/params.hpp"

namespace posthorn::catalogue {

config::ParamLists all_parameters()
{
    static constexpr std::span<const config::ParamInfo> lists[] = {
        schedule::params,
        send::params,
    };
    return lists;
}

}  // namespace posthorn::catalogue
