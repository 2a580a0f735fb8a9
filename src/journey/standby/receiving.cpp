#include "standby/receiving.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

namespace posthorn::standby {

namespace {

constexpr std::size_t sums_at_once = 64U << 10;            // a mebioctet of sums
constexpr std::chrono::seconds note_every{10};

Result<void> tell_holdings(spool::FileOps& files, Line& line)
{
    TRY(const std::vector<std::string> names, copied_files(files));
    for (const std::string& name : names) {
        const auto told = sum_file(files, name, sums_at_once, [&](std::uint64_t size, std::uint64_t first, std::string sums) {
            Said said;
            said.mutable_holding()->set_name(name);
            said.mutable_holding()->set_size(size);
            said.mutable_holding()->set_first_block(first);
            said.mutable_holding()->set_sums(std::move(sums));
            return line.say(said);
        });
        TRY_VOID(told);
    }
    Said end;
    end.mutable_holdings_end();
    return line.say(end);
}

/// The queue went on here, and who speaks does not know: who has it. Else nobody.
Result<std::optional<Lineage>> who_replaced(spool::FileOps& files, const Lineage& queue)
{
    TRY(const auto mark, read_copy_mark(files));
    TRY(auto lineage, read_lineage(files));
    if (mark || !lineage || lineage->identity != queue.identity || lineage->epoch <= queue.epoch)
        return std::nullopt;
    return lineage;
}

Result<void> serve(spool::FileOps& files, const Clock& clock, Line& line, const Receiving& options, const Lineage& queue)
{
    TRY(const auto replica, Replica::open(files, clock));
    if (options.begun)
        options.begun();
    TRY_VOID(replica->begin(queue));
    Said welcome;
    welcome.mutable_welcome()->set_version(options.version);
    welcome.mutable_welcome()->set_host(options.host);
    welcome.mutable_welcome()->set_whole(replica->whole());
    TRY_VOID(line.say(welcome));
    TRY_VOID(tell_holdings(files, line));
    auto noted = clock.steady();
    for (;;) {
        const auto said = line.hear(options.patience);
        if (!said) {
            TRY_VOID(replica->note_in_step());
            if (said.error().status() == "4.4.2")          // as at every stop of the queue
                return {};
            return said.error();
        }
        if (said->what_case() != Said::kOperations && said->what_case() != Said::kAlive)
            return Error{"what is said is none of a queue's", "4.3.0"};
        TRY(const auto durable, replica->take(said->operations(), line.more()));
        Said answer;
        if (durable)
            answer.mutable_durable()->set_number(*durable);
        else
            answer.mutable_alive();
        if (durable || said->what_case() == Said::kAlive)
            TRY_VOID(line.say(answer));
        if (replica->in_step() && clock.steady() >= noted + note_every) {
            noted = clock.steady();
            TRY_VOID(replica->note_in_step());
        }
    }
}

}  // namespace

Result<void> receive(spool::FileOps& files, const Clock& clock, Line& line, const Receiving& options)
{
    TRY(const Said begin, line.hear(options.patience));
    const auto refuse = [&](const Error& error) -> Result<void> {
        Said said;
        said.set_failed(error.text());
        (void)line.say(said);
        return error;
    };
    const auto queue = begin.what_case() == Said::kBegin ? lineage_of(begin.begin().lineage()) : Error{"what is said is none of a queue's", "4.3.0"};
    if (!queue)
        return refuse(queue.error());
    const auto replaced = who_replaced(files, *queue);
    if (!replaced)
        return refuse(replaced.error());
    if (const std::optional<Lineage>& by = *replaced) {
        Said said;
        *said.mutable_superseded()->mutable_lineage() = said_of(*by);
        TRY_VOID(line.say(said));
        return Error{fmt::format("the queue of {} goes on here (epoch {}): it was told so", queue->host, by->epoch), "4.3.0"};
    }
    if (auto served = serve(files, clock, line, options, *queue); !served)
        return refuse(served.error());
    return {};
}

}  // namespace posthorn::standby
