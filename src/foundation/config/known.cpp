#include "config/known.hpp"

#include <unordered_map>

namespace posthorn::config {

namespace {
constexpr KnownParameter table[] = {
#include "config/known_parameters.inc"
};
}  // namespace

std::span<const KnownParameter> known_parameters()
{
    return table;
}

const KnownParameter* known(std::string_view name)
{
    static const auto index = [] {
        std::unordered_map<std::string_view, const KnownParameter*> by_name;
        by_name.reserve(std::size(table));
        for (const auto& parameter : table)
            by_name.emplace(parameter.name, &parameter);
        return by_name;
    }();
    const auto found = index.find(name);
    return found == index.end() ? nullptr : found->second;
}

}  // namespace posthorn::config
