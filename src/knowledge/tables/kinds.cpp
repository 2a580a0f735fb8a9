#include "tables/kinds.hpp"

#include "tables/berkeley.hpp"
#include "tables/cidr.hpp"
#include "tables/composed.hpp"
#include "tables/constant_db.hpp"
#include "tables/database.hpp"
#include "tables/fixed.hpp"
#include "tables/key_value.hpp"
#include "tables/lmdb.hpp"
#include "tables/patterns.hpp"
#include "tables/sockets.hpp"
#include "tables/unix.hpp"

namespace posthorn::tables {

namespace {

constexpr std::array list{
    Kind{"btree", open_btree, ".db"},
    Kind{"cdb", open_cdb, ".cdb"},
    Kind{"cidr", open_cidr, ""},
    Kind{"debug", open_debug, nullptr},
    Kind{"environ", open_environ, nullptr},
    Kind{"fail", open_fail, nullptr},
    Kind{"hash", open_hash, ".db"},
    Kind{"inline", open_inline, nullptr},
    Kind{"internal", open_internal, nullptr},
    Kind{"ldap", open_ldap, "", true},
    Kind{"lmdb", open_lmdb, ".lmdb"},
    Kind{"memcache", open_memcache, "", true},
    Kind{"mysql", open_mysql, "", true},
    Kind{"nis", open_nis, nullptr},
    Kind{"pcre", open_pcre, ""},
    Kind{"pgsql", open_pgsql, "", true},
    Kind{"pipemap", open_pipemap, nullptr},
    Kind{"randmap", open_randmap, nullptr},
    Kind{"redis", open_redis, "", true},
    Kind{"regexp", open_regexp, ""},
    Kind{"socketmap", open_socketmap, nullptr},
    Kind{"sqlite", open_sqlite, "", true},
    Kind{"static", open_static, nullptr},
    Kind{"tcp", open_tcp, nullptr},
    Kind{"texthash", open_texthash, ""},
    Kind{"unionmap", open_unionmap, nullptr},
    Kind{"unix", open_unix, nullptr, false, unix_files},
};

}  // namespace

std::span<const Kind> all_kinds() { return list; }

}  // namespace posthorn::tables
