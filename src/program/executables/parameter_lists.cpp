#include "executables/parameter_lists.hpp"

#include "cleanup/params.hpp"
#include "dns/params.hpp"
#include "net/params.hpp"
#include "peers/params.hpp"
#include "receive/params.hpp"
#include "report/params.hpp"
#include "route/params.hpp"
#include "schedule/params.hpp"
#include "send/params.hpp"
#include "services/params.hpp"
#include "spool/params.hpp"
#include "supervisor/params.hpp"
#include "tables/params.hpp"
#include "tls/params.hpp"
#include "verify/params.hpp"

namespace posthorn::executables {

config::ParamLists all_parameters()
{
    static constexpr std::span<const config::ParamInfo> lists[] = {
        net::params,  dns::params,  tls::params,     tables::params, receive::params,  cleanup::params,
        route::params, send::params, schedule::params, report::params, services::params, supervisor::params,
        spool::params, verify::params, peers::params,
    };
    return lists;
}

}  // namespace posthorn::executables
