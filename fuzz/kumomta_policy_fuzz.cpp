// A policy: Lua of a stranger's. Whatever it is: running and asking it ends within its limits, what fails is named with the policy's path, it reads no file but those beside it
// and those it names as data, and every call has its place.
#include "fuzz.hpp"

#include "kumomta/lua_box.hpp"
#include "kumomta/translate.hpp"

namespace posthorn::fuzz {

using namespace posthorn::kumomta;

void fuzz_one(std::string_view input)
{
    // A box of its own, with small limits; the reader's are those of a site's.
    std::size_t recorded = 0;
    Doors doors{
        .record = [&](const Call& call) { recorded += call.arguments.size() < 1000 ? 1 : 0; },
        .data = [](const std::string& path, const std::string& text) -> Result<Value> {
            if (path.size() % 2 == 0)
                return Error{"no file"};
            return Value::of(text, {path, 1});
        },
        .module =
            [&](const std::string& name) {
                return name == "beside" ? std::pair(std::string("/p/beside.lua"), std::string("return { 1 }"))
                                        : std::pair<std::string, std::string>();
            },
        .environment = [](const std::string& name, const Place&) { return name.size() % 2 == 0 ? std::optional(name + "," + name) : std::nullopt; }};
    LuaBox box(doors, {.steps = 200'000, .time = std::chrono::milliseconds(500), .memory = 4 << 20, .allocation = 256 << 10, .pattern = 1e6});
    const auto run = box.run(input, "/p/init.lua");
    if (!run) {
        FUZZ_CHECK(run.error().text().starts_with("/p/"));
        return;
    }
    FUZZ_CHECK(!box.spent());
    for (const char* event : {"init", "get_queue_config", "get_egress_pool"}) {
        const auto said = box.ask("answer", {Value::of(event, {}), Value::of("a.test", {})});
        if (!said)
            FUZZ_CHECK(!said.error().text().empty());
    }
    const auto noted = box.ask("handle", {Value::of("smtp_server_message_received", {}), Value::of("a.test", {}), {}, Value::of("b.test", {})});
    if (noted)
        FUZZ_CHECK(noted->is_table());
}

}  // namespace posthorn::fuzz
