#include "catalogue/catalogue.hpp"

#include "accounts/params.hpp"
#include "admin/params.hpp"
#include "aggregate/params.hpp"
#include "cleanup/params.hpp"
#include "deliver/params.hpp"
#include "dns/params.hpp"
#include "heard/params.hpp"
#include "inject/params.hpp"
#include "mailauth/params.hpp"
#include "milter/params.hpp"
#include "net/params.hpp"
#include "peers/params.hpp"
#include "process/params.hpp"
#include "receive/params.hpp"
#include "report/params.hpp"
#include "route/params.hpp"
#include "schedule/params.hpp"
#include "send/params.hpp"
#include "services/params.hpp"
#include "spool/params.hpp"
#include "sts/params.hpp"
#include "supervisor/params.hpp"
#include "tables/params.hpp"
#include "tls/params.hpp"
#include "verify/params.hpp"

namespace posthorn::catalogue {

config::ParamLists all_parameters()
{
    static constexpr std::span<const config::ParamInfo> lists[] = {
        net::params,      dns::params,        tls::params,      tables::params, milter::params, peers::params,    receive::params,
        cleanup::params,  schedule::params,   route::params,    verify::params, send::params,   deliver::params,  report::params,
        services::params, supervisor::params, spool::params,    admin::params,  sts::params,    mailauth::params, inject::params,
        process::params,  aggregate::params,  accounts::params, heard::params,
    };
    return lists;
}

}  // namespace posthorn::catalogue
