// pipe(8) and virtual(8), with a spawner that does everything here.
#include "async/run.hpp"
#include "deliver/pipe_agent.hpp"
#include "deliver/virtual_agent.hpp"
#include "tables/testing.hpp"

#include <doctest/doctest.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sysexits.h>

using namespace posthorn;
using namespace posthorn::deliver;

namespace {

struct AgentSpawner final : Spawner {
    awaitable<CommandEnd> run(CommandRun command) override
    {
        for (auto piece = command.input(); piece && !piece->empty(); piece = command.input())
            input += *piece;
        commands.push_back(fmt::format("{}", fmt::join(command.words, "|")));
        CommandEnd end;
        end.status = status << 8;
        co_return end;
    }
    awaitable<Result<std::string>> as(Privileges who, std::function<std::string()> task, int) override
    {
        asked_as.push_back(who);
        if (dies)
            co_return Error{"the process that makes the delivery ended before it was done", "4.3.0"};
        co_return task();
    }
    std::string input;
    std::vector<std::string> commands;
    std::vector<Privileges> asked_as;
    int status = 0;
    bool dies = false;
};

handoff::DeliveryRequest request(std::vector<std::string> recipients, std::string message = "Subject: x\r\n\r\nx\r\n")
{
    handoff::DeliveryRequest made;
    made.mutable_envelope()->set_queue_id("4gDq8v1Yc0z3D");
    made.mutable_envelope()->set_sender("s@x.test");
    made.mutable_envelope()->set_size(message.size());
    for (const std::string& address : recipients) {
        handoff::Recipient& recipient = *made.mutable_envelope()->add_recipients();
        recipient.set_index(static_cast<std::uint32_t>(made.envelope().recipients_size() - 1));
        recipient.set_address(address);
    }
    made.mutable_content()->set_inline_octets(std::move(message));
    return made;
}

std::vector<std::string> told_of(const handoff::Verdicts& verdicts)
{
    std::vector<std::string> lines;
    for (const handoff::Verdict& verdict : verdicts.verdicts())
        lines.push_back(fmt::format("{} {} {} {}", verdict.recipient(), static_cast<int>(verdict.outcome()), verdict.status(), verdict.text()));
    return lines;
}

awaitable<Result<std::optional<std::string>>> later(Result<std::optional<std::string>> answer) { co_return answer; }

struct AgentWorld : tables::TestSite {
    std::vector<std::string> pipe(std::vector<std::string> arguments, handoff::DeliveryRequest of, StatusFilter filter = {}, bool original_to = true)
    {
        arguments.insert(arguments.begin(), "user=nobody");
        PipeOptions options;
        options.service = "agent";
        options.line = *parse_pipe_line(arguments);
        options.original_to = original_to;
        Teller teller(told, observe::Log(sink, "postfix/pipe"), clock, std::move(filter));
        PipeAgent agent(options, here, teller, [this]() -> Result<Privileges> {
            if (!user)
                return Error{"user=nobody: unknown user"};
            return *user;
        });
        asio::io_context loop;
        return told_of(run(loop, agent.deliver(std::move(of), {})));
    }
    std::vector<std::string> mailbox(handoff::DeliveryRequest of, VirtualOptions options = {})
    {
        options.base = (dir / "base").string();
        std::filesystem::create_directories(options.base);
        options.delimiter.characters = "+";
        options.lock.attempts = 1;
        options.strict_ownership = false;
        told.relay = "virtual";
        Teller teller(told, observe::Log(sink, "postfix/virtual"), clock, {});
        const auto maps = [&](const char* name, const std::string& list) { return tables::Maps(name, list, {}, tables); };
        VirtualAgent agent(options, {maps("virtual_mailbox_maps", boxes), maps("virtual_uid_maps", uids), maps("virtual_gid_maps", gids)}, here,
                           teller);
        asio::io_context loop;
        return told_of(run(loop, agent.deliver(std::move(of), {})));
    }
    TellerOptions told{.relay = "agent"};
    std::optional<Privileges> user = Privileges{1, 1};
    AgentSpawner here;
    std::string boxes = "inline:{u@x.test=u, dir@x.test=dir/, up@x.test=../up, root@x.test=root}",
                uids = "inline:{u@x.test=500, dir@x.test=500, up@x.test=500, root@x.test=0}", gids = "static:600";
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("pipe: one command for all recipients of a request, and one end")
{
    AgentWorld world;
    CHECK(world.pipe({"argv=/bin/x", "$recipient"}, request({"a@x.test", "b@x.test"})) ==
          Lines{"0 0 2.0.0 delivered via agent service", "1 0 2.0.0 delivered via agent service"});
    CHECK(world.here.commands == Lines{"/bin/x|a@x.test|b@x.test"});
    CHECK(world.here.input == "Subject: x\n\nx\n");
    world.here.status = EX_NOUSER;
    CHECK(world.pipe({"argv=/bin/x"}, request({"a@x.test"})) == Lines{"0 2 5.1.1 user unknown"});
    world.told.soft_bounce = true;
    CHECK(world.pipe({"argv=/bin/x"}, request({"a@x.test"})) == Lines{"0 1 4.1.1 user unknown"});
    CHECK(world.said("dsn=4.1.1, status=SOFTBOUNCE (user unknown)"));
}

TEST_CASE("pipe: what is refused starts no command")
{
    AgentWorld world;
    CHECK(world.pipe({"flags=D", "argv=/bin/x"}, request({"a@x.test", "b@x.test"}))[0] == "0 1 4.3.5 mail system configuration error");
    CHECK(world.said("flag 'D' of service agent requires agent_destination_recipient_limit = 1"));
    CHECK(world.pipe({"size=10", "argv=/bin/x"}, request({"a@x.test"}))[0] == "0 2 5.2.3 message too large");
    CHECK(world.pipe({"flags=D", "argv=/bin/x"}, request({"a@x.test"}, "Delivered-To: A@x.test\r\n\r\n"))[0] ==
          "0 2 5.4.6 mail forwarding loop for a@x.test");
    CHECK(world.pipe({"argv=/bin/x", "$recipient"}, request({"-a@x.test"}))[0].starts_with("0 2 5.1.3 bad address syntax"));
    world.user.reset();
    CHECK(world.pipe({"argv=/bin/x"}, request({"a@x.test"}))[0] == "0 1 4.3.5 mail system configuration error");
    auto probe = request({"a@x.test"});
    probe.set_probe(true);
    CHECK(world.pipe({"argv=/bin/x"}, probe)[0] == "0 0 2.0.0 delivers to command: /bin/x");
    CHECK(world.here.commands.empty());
}

TEST_CASE("X-Original-To is said where it is asked for, unless enable_original_recipient = no")
{
    AgentWorld world;
    auto moved = request({"u@x.test"});
    moved.mutable_envelope()->mutable_recipients(0)->set_original("was@y.test");
    const std::string field = "X-Original-To: was@y.test\n";
    world.pipe({"flags=O", "argv=/bin/x"}, moved);
    CHECK(world.here.input == field + "Subject: x\n\nx\n");
    world.here.input.clear();
    world.pipe({"flags=O", "argv=/bin/x"}, moved, {}, false);
    CHECK(world.here.input == "Subject: x\n\nx\n");
}

TEST_CASE("pipe: a status filter has the last word, and one that cannot answer returns no mail")
{
    AgentWorld world;
    world.here.status = EX_NOUSER;
    const auto filter = [](Result<std::optional<std::string>> answer) { return [answer](std::string) { return later(answer); }; };
    CHECK(world.pipe({"argv=/bin/x"}, request({"a@x.test"}), filter(std::optional<std::string>("4.1.1 later"))) == Lines{"0 1 4.1.1 later"});
    CHECK(world.pipe({"argv=/bin/x"}, request({"a@x.test"}), filter(std::optional<std::string>("2.0.0 fine"))) == Lines{"0 2 5.1.1 user unknown"});
    CHECK(world.pipe({"argv=/bin/x"}, request({"a@x.test"}), filter(Error{"away"})) == Lines{"0 1 4.1.1 user unknown"});
}

TEST_CASE("virtual: tables say where, and as whom")
{
    AgentWorld world;
    CHECK(world.mailbox(request({"u+ext@x.test", "dir@x.test"})) == Lines{"0 0 2.0.0 delivered to mailbox", "1 0 2.0.0 delivered to maildir"});
    CHECK(world.here.asked_as == std::vector<Privileges>{{500, 600}, {500, 600}});
    CHECK(std::filesystem::exists(world.dir / "base/u"));
    CHECK(std::filesystem::exists(world.dir / "base/dir/new"));
    CHECK(world.mailbox(request({"who@x.test"})) == Lines{"0 2 5.1.1 unknown user: \"who@x.test\""});
    CHECK(world.mailbox(request({"u@x.test"}, "Delivered-To: u@x.test\r\n\r\n")) == Lines{"0 2 5.4.6 mail forwarding loop for u@x.test"});
    world.here.dies = true;
    CHECK(world.mailbox(request({"u@x.test"})) == Lines{"0 1 4.3.0 the process that makes the delivery ended before it was done"});
}

TEST_CASE("virtual: a place outside of the base, root, a user below the minimum and one that is not there defer, and the log says why")
{
    AgentWorld world;
    const Lines wrong{"0 1 4.3.5 mail system configuration error"};
    CHECK(world.mailbox(request({"up@x.test"})) == wrong);
    CHECK(world.said("\"..\" in \"../up\" of virtual_mailbox_maps"));
    CHECK(world.mailbox(request({"root@x.test"})) == wrong);
    CHECK(world.said("uid 0 in virtual_uid_maps is less than virtual_minimum_uid (100)"));
    CHECK(world.mailbox(request({"u@x.test"}), {.minimum_uid = 501}) == wrong);
    world.gids = "inline:{u@x.test=0, dir@x.test=users}";
    CHECK(world.mailbox(request({"u@x.test"})) == wrong);
    CHECK(world.said("gid 0 in virtual_gid_maps"));
    CHECK(world.mailbox(request({"dir@x.test"})) == wrong);
    CHECK(world.said("bad id \"users\" in virtual_gid_maps"));
    world.uids = "inline:{a=1}";
    CHECK(world.mailbox(request({"u@x.test"})) == wrong);
    CHECK(world.said("not found in virtual_uid_maps"));
    world.boxes = "texthash:/nonexistent/boxes";
    CHECK(world.mailbox(request({"u@x.test"}))[0].starts_with("0 1 4.3.0 mailbox lookup problem"));
    CHECK(world.here.asked_as.empty());
}
