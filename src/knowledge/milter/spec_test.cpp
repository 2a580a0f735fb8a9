#include "milter/macros.hpp"
#include "milter/spec.hpp"

#include "milter/chain.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::milter;
using namespace std::chrono_literals;

namespace {

std::string error_of(std::string_view list)
{
    const auto parsed = parse_milters(list, {});
    return parsed ? "" : parsed.error().what();
}

}  // namespace

TEST_CASE("milter, lists: places, and settings of a filter's own")
{
    CHECK(parse_milters("", {})->empty());
    const auto specs =
        parse_milters("inet:localhost:8891, unix:/run/f.sock inet:[2001:db8::1]:25\n"
                      "{ inet:h.test:1, connect_timeout=5s, command_timeout = 6s, { content_timeout = 7s }, default_action=accept, protocol=4 }",
                      {});
    REQUIRE(specs);
    REQUIRE(specs->size() == 4);
    CHECK(((*specs)[0].name == "inet:localhost:8891" && (*specs)[0].host == "localhost" && (*specs)[0].port == 8891));
    CHECK(((*specs)[1].is_unix && (*specs)[1].path == "/run/f.sock"));
    CHECK(((*specs)[2].host == "2001:db8::1" && (*specs)[2].port == 25));
    const Settings& own = (*specs)[3].settings;
    CHECK((own.connect_timeout == 5s && own.command_timeout == 6s && own.content_timeout == 7s));
    CHECK((own.default_action == DefaultAction::accept && own.version == 4));
    CHECK((*specs)[0].settings.default_action == DefaultAction::shutdown);
    CHECK(parse_milters("inet::25", {})->front().host == "localhost");
    CHECK(parse_milters("local:private/x", {})->front().path == "private/x");
}

TEST_CASE("milter, lists: what is wrong is named")
{
    CHECK(error_of("localhost:8891") == "\"localhost:8891\": expected inet:host:port or unix:path");
    CHECK(error_of("inet:8891@localhost") == "\"inet:8891@localhost\": expected inet:host:port (inet:port@host is how Sendmail writes it)");
    for (const std::string_view bad : {"inet:localhost", "inet:localhost:0", "inet:localhost:65536", "unix:", "inet:a b:1"})
        CHECK(error_of(bad).find("expected inet:host:port or unix:path") != std::string::npos);
    CHECK(error_of("{ inet:h:1, color=red }") == "unknown setting \"color\"");
    CHECK(error_of("{ inet:h:1, connect_timeout=0 }") == "connect_timeout = 0: expected a time of at least one second");
    CHECK(error_of("{ inet:h:1, default_action=explode }") == "default_action = explode: expected accept, reject, tempfail, quarantine or shutdown");
    CHECK(error_of("{ inet:h:1, protocol=5 }") == "bad protocol information: 5");
    CHECK(error_of("{ inet:h:1, protocol=no_header_reply }") == "no protocol version information: expected 2, 3, 4 or 6");
    CHECK(error_of("{}") == "{}: expected inet:host:port or unix:path");
    Settings settings;
    CHECK(parse_protocol("4 no_header_reply", settings));
    CHECK((settings.version == 4 && settings.mute_header));
}

TEST_CASE("milter, macros: names with and without braces, values of our own before defaults, unknown ones are not sent")
{
    const auto defaults = parse_macro_defaults("{a}=1, b=2, { c = two words }, { {d} = 4 } e=");
    REQUIRE(defaults);
    CHECK(*defaults == MacroDefaults{{"a", "1"}, {"b", "2"}, {"c", "two words"}, {"d", "4"}, {"e", ""}});
    CHECK(parse_macro_defaults("x").error().what() == "\"x\": expected name=value");
    CHECK(parse_macro_defaults("=1").error().what() == "\"=1\": expected name=value");
    const MacroValues values = [](std::string_view name) -> std::optional<std::string> {
        return name == "j" ? std::optional<std::string>("mx.test") : name == "a" ? std::optional<std::string>("ours") : std::nullopt;
    };
    using namespace std::string_literals;
    CHECK(macro_data(parse_macro_list("j {a}, b {nobody}"), values, *defaults) == "j\0mx.test\0{a}\0ours\0b\0002\0"s);
    CHECK(names_one(parse_macro_list("j {mail_host}"), {"mail_host"}));
    CHECK_FALSE(names_one(parse_macro_list("j {mail_host}"), {"mail_mailer"}));
    CHECK(stage_of_list(5) == Stage::end_of_body);
    CHECK_FALSE(stage_of_list(7));
}

TEST_CASE("milter, words of a command: the address as it was written, then its parameters")
{
    CHECK(words_of_command("FROM:<a@b.test> SIZE=5  BODY=8BITMIME") == std::vector<std::string>{"<a@b.test>", "SIZE=5", "BODY=8BITMIME"});
    CHECK(words_of_command("TO: <\"a b\\\" c\"@d.test>") == std::vector<std::string>{"<\"a b\\\" c\"@d.test>"});
    CHECK(words_of_command("FROM:<>") == std::vector<std::string>{"<>"});
    CHECK(words_of_command("FROM:") == std::vector<std::string>{""});
    CHECK(words_of_command("TO:\"\\") == std::vector<std::string>{"\"\\"});
}
