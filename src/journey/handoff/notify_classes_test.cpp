#include "handoff/notify_classes.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using handoff::NotifyClasses;

TEST_CASE("notify_classes: words in any case, by commas or spaces; one that is none is named")
{
    const auto classes = NotifyClasses::parse("2bounce, Policy\tresource");
    REQUIRE(classes);
    CHECK((classes->double_bounce && classes->policy && classes->resource));
    CHECK_FALSE((classes->bounce || classes->data || classes->delay || classes->protocol || classes->software));
    CHECK_FALSE(NotifyClasses::parse("").value().any());
    CHECK(NotifyClasses::parse("bounce, nonsense").error().text() == "parameter notify_classes: unknown class \"nonsense\" in \"bounce, nonsense\"");
    CHECK_FALSE(NotifyClasses::parse("delay 2bounce").value().sessions());
}

TEST_CASE("notify_classes: what both have")
{
    const NotifyClasses one = NotifyClasses::parse("policy protocol").value(), other = NotifyClasses::parse("protocol bounce").value();
    const NotifyClasses both = one.with(other);
    CHECK(both.protocol);
    CHECK_FALSE((both.policy || both.bounce));
}
