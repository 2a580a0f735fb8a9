// Authentication-Results: whatever a stranger's values are, what we write is one field, recognized as ours, with as many results as there were findings;
// a head without the fields that claim to be ours has none of them, and nothing else is lost.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "mailauth/results.hpp"
#include "message/header.hpp"

namespace posthorn::fuzz {

using namespace posthorn::mailauth;

namespace {

constexpr std::string_view our_id = "mx.example.test";

/// ";" outside of quotes; none: a quote has no end.
std::size_t results_in(std::string_view body)
{
    std::size_t count = 0;
    bool quoted = false;
    for (std::size_t i = 0; i < body.size(); ++i) {
        if (quoted && body[i] == '\\')
            ++i;
        else if (body[i] == '"')
            quoted = !quoted;
        else if (!quoted && body[i] == ';')
            ++count;
    }
    FUZZ_CHECK(!quoted);
    return count;
}

}  // namespace

void fuzz_one(std::string_view input)
{
    const std::size_t half = input.size() / 2;
    const std::string first(input.substr(0, half)), second(input.substr(half));
    for (const bool utf8 : {false, true}) {
        const std::string field = results_field(
            our_id,
            {{"dkim", "fail", first, {{"header", "d", second}}}, {"spf", "pass", "", {{"smtp", "mailfrom", first}, {"smtp", "helo", second}}}}, utf8);
        message::HeaderWalk walk(field);
        const auto only = walk.next();
        FUZZ_CHECK(only && only->is("Authentication-Results") && only->whole.size() == field.size() && field.ends_with("\r\n"));
        FUZZ_CHECK(utf8 ? is_valid_utf8(field) : is_ascii(field));
        FUZZ_CHECK(may_be_result_of(our_id, only->body));
        FUZZ_CHECK(results_in(only->body) == 2);
    }
    (void)may_be_result_of(our_id, input);
    const std::string left = without_results_of(our_id, input);
    FUZZ_CHECK(without_results_of(our_id, left) == left);
    std::size_t lost = 0, fields = 0;
    message::HeaderWalk before(input), after(left);
    while (const auto field = before.next()) {
        const bool goes = field->is("Authentication-Results") && may_be_result_of(our_id, field->body);
        lost += goes ? field->whole.size() : 0;
        fields += goes ? 0 : 1;
    }
    while (const auto field = after.next())
        --fields;
    FUZZ_CHECK(left.size() + lost == input.size());
    FUZZ_CHECK(fields == 0 || lost > 0);  // what stood behind a field that went may continue the one in front
}

}  // namespace posthorn::fuzz
