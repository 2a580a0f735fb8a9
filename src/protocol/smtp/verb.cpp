#include "smtp/verb.hpp"

#include "base/strings.hpp"

namespace posthorn::smtp {

static_assert(
    [] {
        for (std::size_t i = 0; i < verbs.size(); ++i)
            if (static_cast<std::size_t>(verbs[i].id) != i)
                return false;
        return true;
    }(),
    "verb(id) indexes the table");

const Verb* find_verb(std::string_view name)
{
    for (const Verb& verb : verbs)
        if (iequals(verb.name, name))
            return &verb;
    return nullptr;
}

}  // namespace posthorn::smtp
