#include "commands/qshape_table.hpp"

#include <doctest/doctest.h>

using namespace posthorn::commands;
using std::chrono::minutes;

namespace {
/// The first word of each row and what stands behind it, blanks as one.
std::vector<std::string> rows(const QshapeTable& table)
{
    std::vector<std::string> found(1);
    for (const char c : table.text()) {
        if (c == '\n')
            found.emplace_back();
        else if (c != ' ' || (!found.back().empty() && found.back().back() != ' '))
            found.back() += c;
    }
    found.pop_back();
    return found;
}
}  // namespace

TEST_CASE("qshape: ages fall into ranges that double, the last without end, or into equal ones")
{
    QshapeTable doubling(QshapeOptions{.buckets = 3, .first = 5});
    for (const int age : {0, 4, 5, 9, 10, 19, 20, 100000})
        doubling.add("a.test", minutes(age));
    CHECK(rows(doubling) == std::vector<std::string>{"T 5 10 20 20+", "TOTAL 8 2 2 2 2", "a.test 8 2 2 2 2"});

    QshapeTable equal(QshapeOptions{.linear = true, .buckets = 3, .first = 5});
    for (const int age : {4, 5, 10, 14, 15})
        equal.add("a.test", minutes(age));
    CHECK(rows(equal) == std::vector<std::string>{"T 5 10 15 15+", "TOTAL 5 1 1 2 1", "a.test 5 1 1 2 1"});
}

TEST_CASE("qshape: most first, then the shorter name; the null sender and letter case; 80 columns")
{
    QshapeTable table(QshapeOptions{.buckets = 1});
    for (const char* address : {"x@B.test", "y@b.test", "z@longer.test", "", "q@c.test", "\"a@b\"@c.test"})
        table.add(QshapeTable::domain_of(address), minutes(0));
    CHECK(rows(table) ==
          std::vector<std::string>{"T 5 5+", "TOTAL 6 6 0", "b.test 2 2 0", "c.test 2 2 0", "longer.test 1 1 0", "MAILER-DAEMON 1 1 0"});
    CHECK(table.text().find('\n') == 80);
}

TEST_CASE("qshape: parents above the top level, from so many subdomains on, and not in the sum")
{
    QshapeTable table(QshapeOptions{.parents = true, .buckets = 1, .least_subdomains = 2});
    for (const char* domain : {"a.one.test", "b.one.test", "two.test", "deep.x.y.test", "deep.z.y.test"})
        table.add(domain, minutes(0));
    const auto seen = rows(table);
    CHECK(seen[1] == "TOTAL 5 5 0");
    CHECK(std::vector(seen.begin() + 2, seen.begin() + 4) == std::vector<std::string>{".y.test 2 2 0", ".one.test 2 2 0"});
    CHECK(seen.size() == 2 + 2 + 5);       // ".x.y.test" has one subdomain, ".test" is a top level
}

TEST_CASE("qshape: a name that does not fit shows its end")
{
    QshapeTable table(QshapeOptions{.parents = true, .buckets = 20, .least_subdomains = 1});
    table.add(std::string(70, 'l') + ".domain.test", minutes(0));
    const std::string text = table.text();
    CHECK(text.find("llllll.domain.test") == std::string::npos);
    CHECK(text.find("+lllll.domain.test") != std::string::npos);        // 18 columns are left
}
