#include "sts/book.hpp"

#include "base/strings.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace posthorn::sts {

namespace {

std::string date(WallTime time) { return fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::chrono::system_clock::to_time_t(time))); }

}  // namespace

Book::Book(Executor executor, const Clock& clock, observe::Log log, Source& source, Shelf* shelf)
    : executor_(executor), clock_(clock), log_(std::move(log)), source_(source), shelf_(shelf), tasks_(executor)
{
}

/// What is forgotten here is on the shelf, or fetched again.
std::shared_ptr<Book::Page> Book::page(const std::string& domain)
{
    if (pages_.size() >= domains_at_most && !pages_.contains(domain))
        pages_.clear();
    auto& page = pages_[domain];
    if (!page)
        page = std::make_shared<Page>(executor_);
    return page;
}

const Known* Book::holds(const Page& page) const
{
    const std::optional<Known>& known = page.known;
    return known && clock_.wall() < known->until() ? &*known : nullptr;
}

bool Book::rests(const Page& page, const std::string& id) const { return page.failed_id == id && clock_.steady() - page.failed < rest; }

bool Book::due(const Known& known) const
{
    const WallTime now = clock_.wall();
    return now < known.fetched || now - known.fetched > std::min<std::chrono::seconds>(afresh, known.policy.max_age / 2);
}

awaitable<Result<void>> Book::look(std::string domain, std::shared_ptr<Page> page)
{
    while (page->looking && !co_await cancelled())
        co_await page->changed.wait();
    if (page->looked_up || !shelf_)
        co_return Result<void>{};
    page->looking = true;
    const auto found = co_await shelf_->find(domain);
    page->looking = false;
    page->changed.notify_all();
    if (!found)
        co_return found.error();
    page->looked_up = true;
    if (const std::optional<std::string>& octets = *found)
        page->known = known_of(*octets);
    co_return Result<void>{};
}

void Book::failed(const std::string& domain, const std::string& id, Page& page, const Error& error, bool fetched)
{
    const std::string why = error.text();
    page.failed_id = id;
    page.failed = clock_.steady();
    page.fault = fetched ? "sts-policy-invalid" : error.status() == "4.7.5" ? "sts-webpki-invalid" : "sts-policy-fetch-error";
    const Known* const known = holds(page);
    if (!known)
        log_.warning("MTA-STS: the policy {} of {} was not fetched: {}; mail goes as without one", id, domain, why);
    else if (known->policy.mode != Mode::none)
        log_.warning("MTA-STS: the policy {} of {} was not fetched: {}; the policy {} holds until {}", id, domain, why, known->id,
                     date(known->until()));
}

awaitable<void> Book::fetch(std::string domain, std::string id, std::shared_ptr<Page> page)
{
    page->fetching = true;
    const auto text = co_await source_.fetch(domain);
    page->fetching = false;
    auto policy = text ? parse_policy(*text) : Result<Policy>(text.error());
    if (!policy && co_await cancelled())
        co_return;                                                    // the process ends: that is no failure
    if (!policy)
        failed(domain, id, *page, policy.error(), text.has_value());
    else {
        Known known{std::move(id), clock_.wall(), *std::move(policy)};
        if (const Known* const before = holds(*page); !before || before->policy != known.policy)
            log_.info("MTA-STS: the policy {} of {} is {} until {}, hosts: {}", known.id, domain, mode_name(known.policy.mode), date(known.until()),
                      fmt::join(known.policy.hosts, " "));
        if (shelf_)
            shelf_->keep(domain, octets_of(known));
        page->known = std::move(known);
        page->failed_id.clear();
    }
    page->changed.notify_all();
}

awaitable<Result<Finding>> Book::find(std::string domain)
{
    const auto page = this->page(domain);
    if (!page->looked_up)
        CO_TRY_VOID(co_await look(domain, page));
    const dns::Answer answer = co_await source_.record("_mta-sts." + domain);
    std::vector<std::string> texts;
    if (answer.found())
        for (const dns::Record& record : answer.records)
            texts.push_back(record.text);
    const auto id = id_of(texts);
    const Known* known = holds(*page);
    if (id && (!known || known->id != *id)) {
        while (page->fetching && !co_await cancelled())
            co_await page->changed.wait();
        known = holds(*page);
        if ((!known || known->id != *id) && !rests(*page, *id))
            co_await fetch(domain, *id, page);
    } else if (id && due(*known) && !page->fetching && !rests(*page, *id)) {
        page->fetching = true;
        tasks_.spawn(fetch(domain, *id, page));
    }
    if (holds(*page))
        co_return Finding{.known = page->known, .fault = {}};
    co_return Finding{.known = std::nullopt, .fault = id && page->failed_id == *id ? page->fault : std::string()};
}

}  // namespace posthorn::sts
