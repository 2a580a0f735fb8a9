#include "handoff/notify_classes.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <array>

namespace posthorn::handoff {

namespace {

struct Named {
    std::string_view name;
    bool NotifyClasses::* member;
};
constexpr auto classes = std::to_array<Named>({{"bounce", &NotifyClasses::bounce},
                                               {"2bounce", &NotifyClasses::double_bounce},
                                               {"data", &NotifyClasses::data},
                                               {"delay", &NotifyClasses::delay},
                                               {"policy", &NotifyClasses::policy},
                                               {"protocol", &NotifyClasses::protocol},
                                               {"resource", &NotifyClasses::resource},
                                               {"software", &NotifyClasses::software}});

}  // namespace

Result<NotifyClasses> NotifyClasses::parse(std::string_view words)
{
    NotifyClasses made;
    for (const std::string_view word : split(words, ", \t\r\n")) {
        const auto* const found = std::ranges::find_if(classes, [word](const Named& each) { return iequals(each.name, word); });
        if (found == classes.end())
            return Error{fmt::format("parameter notify_classes: unknown class \"{}\" in \"{}\"", word, words)};
        made.*found->member = true;
    }
    return made;
}

NotifyClasses NotifyClasses::with(const NotifyClasses& others) const
{
    NotifyClasses both;
    for (const Named& each : classes)
        both.*each.member = this->*each.member && others.*each.member;
    return both;
}

NotifyClasses NotifyClasses::and_also(const NotifyClasses& others) const
{
    NotifyClasses either;
    for (const Named& each : classes)
        either.*each.member = this->*each.member || others.*each.member;
    return either;
}

}  // namespace posthorn::handoff
