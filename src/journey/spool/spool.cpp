#include "spool/spool.hpp"

#include "spool/incoming.hpp"
#include "spool/writer.hpp"

#include <fmt/format.h>

namespace posthorn::spool {

Result<std::unique_ptr<Spool>> Spool::open(FileOps& files, Options options, Executor loop, const Clock& clock, observe::Log log, Events events)
{
    TRY(Opening opening, open_queue(files, options, clock, log));
    return std::unique_ptr<Spool>(
        new Spool(std::make_unique<Core>(files, options, std::move(loop), clock, std::move(log), std::move(events), std::move(opening))));
}

Spool::Spool(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Spool::~Spool() = default;
const Opened& Spool::opened() const { return core_->opened(); }

awaitable<Result<Lease>> Spool::enqueue(NewMessageRef message)
{
    return core_->call<Lease>(Request::Kind::enqueue, [moved = std::move(message)](Ledger& ledger) { return ledger.enqueue(*moved); });
}

awaitable<Result<bool>> Spool::was_committed(std::string queue_id)
{
    return core_->call<bool>(Request::Kind::read, [id = std::move(queue_id)](Ledger& ledger) -> Result<bool> { return ledger.was_committed(id); });
}

awaitable<Result<std::vector<std::pair<std::string, std::string>>>> Spool::taken_over(std::string source, std::vector<std::string> queue_ids)
{
    using Known = std::vector<std::pair<std::string, std::string>>;
    return core_->call<Known>(Request::Kind::read, [from = std::move(source), ids = std::move(queue_ids)](Ledger& ledger) -> Result<Known> {
        return ledger.taken_over(from, ids);
    });
}

awaitable<Result<void>> Spool::forget_taken_over(std::string source, std::vector<std::string> queue_ids)
{
    return core_->call<void>(Request::Kind::change, [from = std::move(source), ids = std::move(queue_ids)](Ledger& ledger) -> Result<void> {
        ledger.forget_taken_over(from, ids);
        return {};
    });
}

awaitable<Result<void>> Spool::drop_file(std::string queue_id)
{
    return core_->call<void>(Request::Kind::read, [id = std::move(queue_id)](Ledger& ledger) -> Result<void> {
        if (handoff::queue_id_sequence(id) && !ledger.was_committed(id))
            ledger.files().remove(incoming_name(id));
        return {};
    });
}

awaitable<Result<std::optional<Lease>>> Spool::find(std::string queue_id)
{
    return core_->call<std::optional<Lease>>(Request::Kind::read,
                                             [id = std::move(queue_id)](Ledger& ledger) -> Result<std::optional<Lease>> { return ledger.find(id); });
}

awaitable<Result<Settled>> Spool::settle(Settlement settlement)
{
    return core_->call<Settled>(Request::Kind::settle, [moved = std::move(settlement)](Ledger& ledger) { return ledger.settle(moved); });
}

awaitable<Result<std::size_t>> Spool::alter(std::vector<Lease> leases, Change change)
{
    return core_->call<std::size_t>(Request::Kind::change,
                                    [moved = std::move(leases), change](Ledger& ledger) { return ledger.alter(moved, change); });
}

awaitable<Result<std::size_t>> Spool::remove(std::vector<Lease> leases)
{
    return core_->call<std::size_t>(Request::Kind::settle, [moved = std::move(leases)](Ledger& ledger) { return ledger.remove(moved); });
}

awaitable<Result<Lease>> Spool::replace(Lease old, NewMessageRef message)
{
    return core_->call<Lease>(Request::Kind::change, [old, moved = std::move(message)](Ledger& ledger) { return ledger.replace(old, *moved); });
}

awaitable<Result<StoredMessage>> Spool::read(Lease lease)
{
    return core_->call<StoredMessage>(Request::Kind::read, [lease](Ledger& ledger) { return ledger.read(lease); });
}

awaitable<Result<std::unique_ptr<ContentReader>>> Spool::content(Lease lease)
{
    return core_->call<std::unique_ptr<ContentReader>>(Request::Kind::read, [lease](Ledger& ledger) { return ledger.content(lease); });
}

awaitable<Result<Page<Scheduled>>> Spool::load(std::uint64_t after, std::size_t limit)
{
    return core_->call<Page<Scheduled>>(Request::Kind::read,
                                        [after, limit](Ledger& ledger) -> Result<Page<Scheduled>> { return ledger.load(after, limit); });
}

awaitable<Result<Page<StoredMessage>>> Spool::list(std::uint64_t after, std::size_t limit)
{
    return core_->call<Page<StoredMessage>>(Request::Kind::read,
                                            [after, limit](Ledger& ledger) -> Result<Page<StoredMessage>> { return ledger.list(after, limit); });
}

awaitable<Result<Scheduled>> Spool::scheduled(Lease lease)
{
    return core_->call<Scheduled>(Request::Kind::read, [lease](Ledger& ledger) { return ledger.scheduled(lease); });
}

awaitable<Result<Block>> Spool::reserve(Counter counter, std::uint64_t count)
{
    return core_->call<Block>(Request::Kind::change, [=](Ledger& ledger) -> Result<Block> { return ledger.reserve(counter, count); });
}

/// This database has one owner, and nobody hands messages over to it while it runs.
void Spool::on_adopted(std::function<void(std::vector<Lease>)>) {}

awaitable<void> Spool::close()
{
    co_await on_thread(core_->helpers(), [core = core_.get()] {
        core->stop();
        return true;
    });
}

awaitable<Result<std::size_t>> Spool::sweep()
{
    return core_->call<std::size_t>(Request::Kind::sweep,
                                    [age = core_->options.orphan_age](Ledger& ledger) -> Result<std::size_t> { return ledger.sweep(age); });
}

awaitable<Result<std::vector<std::string>>> Spool::check() { return core_->run(check_job()); }
awaitable<Result<void>> Spool::backup(std::string folder, std::vector<std::string> beside)
{
    auto done = co_await core_->run(backup_job(std::move(folder), std::move(beside)));
    if (!done)
        co_return std::move(done).error();
    co_return Result<void>{};
}

awaitable<Result<Rows>> Spool::query(std::string sql, std::size_t row_limit, std::chrono::milliseconds time_limit)
{
    auto snapshot = co_await core_->run(snapshot_job());
    if (!snapshot)
        co_return std::move(snapshot).error();
    co_return co_await on_thread(core_->helpers(), [snapshot = std::move(*snapshot), sql = std::move(sql), row_limit, time_limit] {
        return run_query(*snapshot, sql, row_limit, time_limit);
    });
}

}  // namespace posthorn::spool
