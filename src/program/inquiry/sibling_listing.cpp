#include "inquiry/sibling_listing.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "handoff/frames.hpp"
#include "inquiry/transcripts.hpp"
#include "ipc/client.hpp"

#include <fmt/format.h>

namespace posthorn::inquiry {

namespace {

std::string time_in_json(std::int64_t microseconds)
{
    return microseconds == 0 ? std::string("null") : fmt::format("\"{}\"", utc_time(microseconds));
}

}  // namespace

Result<handoff::Siblings> ask_siblings(const config::Snapshot& snapshot, Until until)
{
    const std::string socket = fmt::format("{}/{}", snapshot.text("queue_directory"), handoff::memory_socket);
    auto connected = ipc::connect_unix(socket);
    if (!connected)
        return Error{fmt::format("the mail system is down: {}: {}", socket, connected.error().text()), "4.3.0"};
    ipc::ChannelOptions options;
    options.name = "memory";
    return ask<handoff::Siblings>(*std::move(connected), limited(options, until), handoff::Frame::siblings, handoff::SiblingsQuestion{});
}

std::string sibling_text(const handoff::Sibling& sibling)
{
    const std::string name = sibling.name().empty() ? std::string("(not known yet)") : printable(sibling.name());
    const std::string way = sibling.named() ? "memory_siblings" : "posthorn share";
    std::string text = sibling.connected() == 0 ? fmt::format("{}  away ({})\n", name, way)
                                                : fmt::format("{}  connected since {} ({}): {}, version {}\n    told {}, heard {}, news {}\n", name,
                                                              local_time(sibling.connected()), way, printable(sibling.host()),
                                                              printable(sibling.version()), sibling.told(), sibling.heard(), sibling.news());
    if (!sibling.trouble().empty())
        text += fmt::format("    last trouble {}: {}\n", local_time(sibling.troubled()), printable(sibling.trouble(), true));
    return text;
}

std::string sibling_json(const handoff::Sibling& sibling)
{
    return fmt::format(
        R"({{"name": {}, "named": {}, "host": {}, "version": {}, "connected": {}, "told": {}, "heard": {}, "news": {}, "trouble": {}, "troubled": {}}})",
        json_text(sibling.name()), sibling.named(), json_text(sibling.host()), json_text(sibling.version()), time_in_json(sibling.connected()),
        sibling.told(), sibling.heard(), sibling.news(), json_text(sibling.trouble()), time_in_json(sibling.troubled()));
}

}  // namespace posthorn::inquiry
