#include "catalogue/catalogue.hpp"

#include <doctest/doctest.h>

#include "config/known.hpp"

using namespace posthorn;
using namespace posthorn::config;

TEST_CASE("every declared parameter agrees with Postfix's table in name, default, kind and limits, or is our own")
{
    for (const auto list : catalogue::all_parameters()) {
        for (const auto& info : list) {
            CAPTURE(info.name);
            CHECK(disagreement(info) == "");
        }
    }
}

TEST_CASE("every declared parameter says what it is for")
{
    for (const auto list : catalogue::all_parameters()) {
        for (const auto& info : list) {
            CAPTURE(info.name);
            CHECK(info.doc.size() > 10);
        }
    }
}
