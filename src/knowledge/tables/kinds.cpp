#include "tables/kinds.hpp"

#include "tables/cidr.hpp"
#include "tables/fixed.hpp"
#include "tables/lmdb.hpp"
#include "tables/patterns.hpp"
#include "tables/unix.hpp"

namespace posthorn::tables {

namespace {

constexpr std::array list{
    Kind{"cidr", open_cidr, ""},          Kind{"environ", open_environ, nullptr}, Kind{"fail", open_fail, nullptr},
    Kind{"inline", open_inline, nullptr}, Kind{"lmdb", open_lmdb, ".lmdb"},       Kind{"pcre", open_pcre, ""},
    Kind{"regexp", open_regexp, ""},      Kind{"static", open_static, nullptr},   Kind{"texthash", open_texthash, ""},
    Kind{"unix", open_unix, nullptr},
};

}  // namespace

std::span<const Kind> all_kinds() { return list; }

}  // namespace posthorn::tables
