#include "peers/quirks.hpp"

#include <doctest/doctest.h>

using namespace posthorn::peers;

TEST_CASE("quirks: the text of a set reads back as the same set, numbers included")
{
    Quirks quirks{Quirk::quit_alone, Quirk::data_alone};
    quirks.add_no_bdat_over(65536).add_close_after(20).add_no_param(Parameter::size).add_no_param(Parameter::dsn);
    CHECK(quirks.text() == "quit-alone data-alone no-bdat-over(65536) close-after(20) no-param(SIZE) no-param(DSN)");
    CHECK(Quirks::parse(quirks.text()) == quirks);
    CHECK(Quirks::parse("") == Quirks{});
}

TEST_CASE("quirks: a word that is unknown, lacks its number or has one too many is refused")
{
    for (const char* bad : {"quit", "no-bdat-over", "no-bdat-over(x)", "close-after(0)", "quit-alone(1)", "no-param(FOO)", "close-after(3"})
        CHECK_MESSAGE(!Quirks::parse(bad), bad);
}

TEST_CASE("quirks: the table is in the order of the enumeration")
{
    for (std::size_t i = 0; i < quirk_count; ++i)
        CHECK(static_cast<std::size_t>(quirk_names[i].quirk) == i);
}

TEST_CASE("quirks: what changes security or reputation is never of the class that is learned freely")
{
    for (const Quirk quirk : {Quirk::no_tls, Quirk::no_early, Quirk::verify_useless})
        CHECK(class_of(quirk) == QuirkClass::security);
}
