#include "tables/kinds.hpp"

#include "tables/fixed.hpp"

namespace posthorn::tables {

namespace {

constexpr std::array list{
    Kind{"environ", open_environ, nullptr},
    Kind{"fail", open_fail, nullptr},
    Kind{"inline", open_inline, nullptr},
    Kind{"static", open_static, nullptr},
    Kind{"texthash", open_texthash, ""},
};

}  // namespace

std::span<const Kind> all_kinds()
{
    return list;
}

}  // namespace posthorn::tables
