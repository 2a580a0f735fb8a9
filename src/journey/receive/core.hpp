// receive/core.hpp: what the sessions of a server share.
#pragma once

#include "observe/counters.hpp"
#include "receive/before_queue.hpp"
#include "receive/ceiling.hpp"
#include "receive/filtered_names.hpp"
#include "receive/input.hpp"
#include "receive/places.hpp"
#include "receive/policy/judge.hpp"
#include "receive/server.hpp"
#include "sasl/server.hpp"
#include "tables/maps.hpp"
#include "tables/match_list.hpp"

namespace posthorn::receive {

namespace screen {
class Gate;
}

/// In cleanup's place where others clean.
class PassedOn final : public handoff::Cleaner {
public:
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        co_return handoff::Cleaned(std::move(envelope), std::move(head));
    }
};

struct Server::Core {
    Core(Executor on, Options with, Outside from);
    ~Core();

    Executor executor;
    const Options options;
    Outside outside;
    tables::Maps dns_filter;
    FilteredNames filtered;                       // the names that restrictions ask, where there is a filter
    policy::Law law;
    Ceiling ceiling;
    Places places;
    BufferPool buffers, content_buffers;
    std::shared_ptr<sasl::Authenticator> logins;  // none: nobody can authenticate
    tables::MatchList sasl_mechanisms, sasl_exceptions;
    tables::MatchList xclient_hosts, xforward_hosts;
    tables::MatchList bare_newline_exclusions, noop_commands, forbidden_commands, etrn_domains, debug_peers, pipe_connect_hosts, unlimited_clients,
        verp_clients, release_clients, qmqp_clients, delivery_answer_domains;
    tables::Maps discard_ehlo_keywords, command_filter, reject_filter, reject_footers, milter_maps;
    std::unique_ptr<screen::Gate> gate;           // none: clients are not tested before the greeting
    PassedOn as_it_is;                            // before a filter, cleanup has nothing to do
    bool draining = false, closing = false;
    std::uint64_t accepted = 0, connections = 0;
    /// By command, class of the reply and what refused: restrictions are named as the configuration has them.
    observe::Tally<3> rejections{500}, reject_warnings{500};             // the others: what warn_if_reject let pass
    SteadyTime own_trouble_told{};                // to the postmaster, the last time
    std::pair<std::uint64_t, std::uint64_t> instance_base;            // process id and second of the start: no instance of before comes again
    std::uint64_t instances = 0;                  // transactions that policy servers were told of

    void note_rejection(std::string_view command, std::string_view reply, std::string_view what)
    {
        rejections.add({command, reply.substr(0, 1), what});
    }
    /// Of a client that has no session.
    void note_rejection(const handoff::Rejected& rejected)
    {
        note_rejection(rejected.command, rejected.reply, rejected.by);
        if (outside.record_rejection)
            outside.record_rejection(rejected);
    }
    /// Are refusals said otherwise than they were decided?
    bool edits_rejects() const { return !reject_filter.empty() || !reject_footers.empty() || !options.reject_footer.empty(); }
    bool stressed() const { return options.always_stressed || places.stressed(); }
    const Pace& pace() const { return stressed() ? options.stressed : options.calm; }
};

}  // namespace posthorn::receive
