#include "inquiry/memory_client.hpp"

#include "handoff/domain_policy.pb.h"
#include "handoff/frames.hpp"
#include "ipc/client.hpp"
#include "peers/stored.hpp"
#include "peers/stored.pb.h"

namespace posthorn::inquiry {

namespace {

using MemoryCommand = posthorn::peers::stored::Command;
using posthorn::peers::stored::CommandReply;

/// Of one frame of an import.
constexpr std::size_t frame_octets = 2 << 20;

ipc::ChannelOptions options()
{
    ipc::ChannelOptions made;
    made.name = "memory";
    return made;
}

awaitable<void> say(std::shared_ptr<ipc::Channel> to, const std::vector<MemoryCommand>* commands, Result<CommandReply>* out)
{
    for (const MemoryCommand& command : *commands) {
        *out = co_await to->call<CommandReply>(handoff::Frame::peer_command, command);
        if (!*out)
            break;
    }
    to->close();
}

}  // namespace

MemoryClient::MemoryClient(const config::Snapshot& snapshot, Until until)
    : socket_(fmt::format("{}/{}", snapshot.text("queue_directory"), handoff::memory_socket)), until_(until)
{
}

Result<handoff::VerifyKnowledge> MemoryClient::known(const std::string& address)
{
    auto connected = ipc::connect_unix(socket_);
    if (!connected)
        return Error{fmt::format("{}: {}", socket_, connected.error().text()), "4.3.0"};
    handoff::VerifyQuestion question;
    question.set_address(address);
    return ask<handoff::VerifyKnowledge>(*std::move(connected), limited(options(), until_), handoff::Frame::verify_known, std::move(question));
}

Result<std::optional<sts::Known>> MemoryClient::policy(const std::string& domain)
{
    auto connected = ipc::connect_unix(socket_);
    if (!connected)
        return Error{fmt::format("{}: {}", socket_, connected.error().text()), "4.3.0"};
    handoff::DomainPolicy question;
    question.set_domain(domain);
    TRY(const auto known,
        ask<handoff::DomainPolicy>(*std::move(connected), limited(options(), until_), handoff::Frame::sts_known, std::move(question)));
    return sts::known_of(known.known());
}

Result<MemoryClient::Done> MemoryClient::converse(std::vector<MemoryCommand> commands)
{
    auto connected = ipc::connect_unix(socket_);
    if (!connected)
        return Error{fmt::format("the mail system is down: {}: {}", socket_, connected.error().text()), "4.3.0"};
    asio::io_context loop{1};
    const auto channel = ipc::Channel::open(loop.get_executor(), *std::move(connected), limited(options(), until_));
    Result<CommandReply> reply = Error{"no answer", "4.3.0"};
    asio::co_spawn(loop, say(channel, &commands, &reply), [](std::exception_ptr failure) {
        if (failure)
            std::rethrow_exception(failure);
    });
    loop.run();
    if (!reply)
        return reply.error();
    const CommandReply& said = *reply;
    std::string trouble = said.text();
    if (!said.stored() && trouble.empty())
        trouble = "memory has no file: it is known until the mail system stops";
    return Done{said.count(), said.sets(), said.ways(), std::move(trouble)};
}

Result<MemoryClient::Done> MemoryClient::store()
{
    std::vector<MemoryCommand> commands(1);
    return converse(std::move(commands));
}

Result<MemoryClient::Done> MemoryClient::forget(const std::vector<std::string>& keys, const std::vector<std::string>& sets,
                                                const std::vector<std::string>& ways, bool all)
{
    std::vector<MemoryCommand> commands(1);
    commands.front().set_verb(MemoryCommand::FORGET);
    commands.front().set_all(all);
    for (const std::string& key : keys)
        commands.front().add_keys(key);
    for (const std::string& set : sets)
        commands.front().add_sets(set);
    for (const std::string& way : ways)
        commands.front().add_ways(way);
    return converse(std::move(commands));
}

Result<MemoryClient::Done> MemoryClient::import(std::span<const posthorn::peers::Record> records)
{
    std::vector<MemoryCommand> commands(1);
    std::size_t octets = 0;
    for (const posthorn::peers::Record& record : records) {
        if (octets > frame_octets) {
            commands.back().set_more(true);
            commands.emplace_back();
            octets = 0;
        }
        const std::string one = posthorn::peers::octets_of(record);
        octets += one.size();
        if (!commands.back().add_peers()->ParseFromString(one))
            return Error{"a record that is none", "5.5.4"};
    }
    for (MemoryCommand& command : commands)
        command.set_verb(MemoryCommand::IMPORT);
    return converse(std::move(commands));
}

}  // namespace posthorn::inquiry
