#include "accounts/book.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::accounts {

using handoff::AccountOrder;
using namespace std::chrono_literals;
using Word = handoff::Account::Word;

namespace {

constexpr std::uint32_t times_usual = 10;
constexpr std::size_t days_to_know = 3;
constexpr auto book_is_young = std::chrono::days{7};
constexpr std::size_t networks_strange = 6, networks_fresh = 5;
constexpr std::uint32_t refused_least = 50, refused_share = 3;      // one in three
constexpr auto alarm_lasts = std::chrono::days{1};
constexpr auto limit_told_again = 1h;
constexpr auto allowed_longest = std::chrono::days{3650};
constexpr std::size_t longest_word_reason = 200;

std::int64_t stored_time(WallTime time) { return time.time_since_epoch().count(); }
WallTime time_stored(std::int64_t microseconds) { return WallTime{std::chrono::microseconds{microseconds}}; }

void tell_counts(const Counts& counts, handoff::AccountCounts& into)
{
    into.set_messages(counts.messages);
    into.set_recipients(counts.recipients);
    into.set_tried(counts.tried);
    into.set_refused(counts.refused);
}

}  // namespace

std::string account_text(std::string_view name) { return std::string(name.starts_with("login:") ? name.substr(6) : name); }

// ---- Kept

Book::Known::Known(const handoff::Account& stored)
    : account(stored),
      cause(stored.alarm_cause() <= static_cast<std::uint32_t>(Cause::refused) ? static_cast<Cause>(stored.alarm_cause()) : Cause::none),
      alarm_since(time_stored(stored.alarm_since())), alarm_last(time_stored(stored.alarm_last())), alarm(stored.alarm()),
      word(handoff::Account::Word_IsValid(stored.word()) ? stored.word() : handoff::Account::NONE), word_since(time_stored(stored.word_since())),
      word_until(time_stored(stored.word_until())), word_by(stored.word_by()), word_reason(stored.word_reason())
{
}

Book::Book(const handoff::StoredAccounts& stored, WallTime now) : since_(stored.since() != 0 ? time_stored(stored.since()) : now)
{
    for (const handoff::Account& account : stored.accounts())
        if (all_.size() < most_accounts)
            all_.emplace(account.name(), Known(account));
}

void Book::store(const std::string& name, const Known& known, handoff::Account& into)
{
    into.set_name(name);
    known.account.store(into);
    if (known.cause != Cause::none) {
        into.set_alarm_since(stored_time(known.alarm_since));
        into.set_alarm_last(stored_time(known.alarm_last));
        into.set_alarm(known.alarm);
        into.set_alarm_cause(static_cast<std::uint32_t>(known.cause));
    }
    if (known.word != handoff::Account::NONE) {
        into.set_word(known.word);
        into.set_word_since(stored_time(known.word_since));
        into.set_word_until(stored_time(known.word_until));
        into.set_word_by(known.word_by);
        into.set_word_reason(known.word_reason);
    }
}

handoff::StoredAccounts Book::stored() const
{
    handoff::StoredAccounts made;
    made.set_since(stored_time(since_));
    for (const auto& [name, known] : all_)
        store(name, known, *made.add_accounts());
    return made;
}

Book::Known& Book::known(std::string_view name, WallTime now)
{
    changed_ = true;
    if (const auto found = all_.find(name); found != all_.end())
        return found->second;
    if (all_.size() >= most_accounts) {              // a twentieth goes at once: who looks for the oldest looks at all
        std::vector<WallTime> last;
        for (const auto& [other, one] : all_)
            last.push_back(one.account.last());
        const auto middle = last.begin() + static_cast<std::ptrdiff_t>(last.size() / 20);
        std::ranges::nth_element(last, middle);
        std::erase_if(all_, [&](const auto& one) { return one.second.word == handoff::Account::NONE && one.second.account.last() <= *middle; });
    }
    return all_.emplace(name, Known(now)).first->second;
}

// ---- Mail

Ruling Book::hand_in(const Mail& mail, WallTime now)
{
    Known& known = this->known(mail.account, now);
    const std::string who = account_text(mail.account);
    const auto counted = [&] { known.account.handed_in(mail.recipients, network_of(mail.client_address), now); };
    Ruling ruling;
    const auto on_hold = [&](std::string why) {
        ++done_.held;
        ruling.what = Ruling::What::hold;
        ruling.text = fmt::format("account {}: {}", who, why);
        return ruling;
    };
    if (known.word == handoff::Account::REFUSE) {
        ++done_.refused;
        return {.what = Ruling::What::refuse, .status = "5.7.1", .text = "this account is suspended", .warnings = {}};
    }
    if (known.word == handoff::Account::HOLD) {
        counted();
        return on_hold(fmt::format("put on hold by {}{}{}", known.word_by.empty() ? "an operator" : known.word_by,
                                   known.word_reason.empty() ? "" : ": ", known.word_reason));
    }
    if (known.word == handoff::Account::ALLOW && now >= known.word_until)
        known.word = handoff::Account::NONE;
    if (known.word == handoff::Account::ALLOW) {
        counted();
        return ruling;
    }

    auto limits = Limits::parse(mail.limits, options_.watch);
    if (!limits) {
        if (now - known.limit_told >= limit_told_again) {
            known.limit_told = now;
            ruling.warnings.push_back(fmt::format("account_limit_maps: account {}: {}; no limit holds", who, limits.error().text()));
        }
        limits = Limits{.all = {}, .watch = options_.watch};
    }
    known.watch = limits->watch;
    for (const Limit& limit : limits->all) {
        const Counts so_far = limit.day ? known.account.within_day(now) : known.account.within_hour(now);
        const std::uint32_t size = limit.recipients ? mail.recipients : 1;
        if (std::uint64_t{limit.recipients ? so_far.recipients : so_far.messages} + size <= limit.most)
            continue;
        Ruling beyond = this->beyond(mail.account, known, *limits, limit, size, now);
        if (beyond.what == Ruling::What::hold)
            counted();
        return beyond;
    }
    counted();
    if (auto line = look(mail.account, known, now))
        ruling.warnings.push_back(*std::move(line));
    if (known.cause != Cause::none && known.watch == Watch::hold)
        return on_hold(known.alarm);
    return ruling;
}

Ruling Book::beyond(std::string_view name, Known& known, const Limits& limits, const Limit& limit, std::uint32_t size, WallTime now)
{
    Ruling ruling;
    // What is larger than the limit itself would be put off for ever.
    const Over over = limits.over == Over::defer && size > limit.most ? Over::reject : limits.over;
    if (now - known.limit_told >= limit_told_again) {
        known.limit_told = now;
        constexpr std::string_view becomes[] = {"put off", "put on hold", "refused"};
        ruling.warnings.push_back(fmt::format("account {}: beyond {} (account_limit_maps): it is {}", account_text(name), limit.text(),
                                              becomes[static_cast<std::size_t>(over)]));
    }
    switch (over) {
    case Over::hold:
        ++done_.held;
        ruling.what = Ruling::What::hold;
        ruling.text = fmt::format("account {}: beyond {}", account_text(name), limit.text());
        return ruling;
    case Over::defer:
        ++done_.put_off;
        ruling.status = "4.7.1";
        break;
    case Over::reject:
        ++done_.refused;
        ruling.status = "5.7.1";
        break;
    }
    ruling.what = Ruling::What::refuse;
    ruling.text = fmt::format("this account may send to no more than {}", limit.text());
    if (!limit.recipients)
        ruling.text = fmt::format("this account may send no more than {}", limit.text());
    return ruling;
}

std::optional<std::string> Book::tried(std::string_view account, bool refused, WallTime now)
{
    const auto found = all_.find(account);           // who was forgotten meanwhile is not known again by what is left of their mail
    if (found == all_.end())
        return std::nullopt;
    changed_ = true;
    found->second.account.tried(refused, now);
    if (!refused || found->second.word != handoff::Account::NONE)
        return std::nullopt;
    return look(account, found->second, now);
}

// ---- Strange

Cause Book::strange(const Account& account, WallTime now, std::string* text) const
{
    const Counts hour = account.within_hour(now);
    const std::size_t days = account.days_before(now);
    const std::uint32_t usual = account.usual_hour(now);
    const bool is_known = days >= days_to_know;
    const bool many = is_known ? hour.recipients > std::uint64_t{usual} * times_usual : now - since_ >= book_is_young;
    if (hour.recipients > options_.floor && many) {
        *text = is_known ? fmt::format("{} recipients within an hour, {} in the busiest hour of {} days before", hour.recipients, usual, days)
                         : fmt::format("{} recipients within an hour, of an account that has sent on {} days before", hour.recipients, days);
        return Cause::rate;
    }
    if (const Account::Networks networks = account.networks(now); networks.seen >= networks_strange && networks.fresh >= networks_fresh) {
        *text = fmt::format("mail from {} networks within an hour, {} of them new", networks.seen, networks.fresh);
        return Cause::networks;
    }
    if (hour.refused >= refused_least && std::uint64_t{hour.refused} * refused_share >= hour.tried) {
        *text = fmt::format("mail for {} of {} recipients within an hour was returned", hour.refused, hour.tried);
        return Cause::refused;
    }
    return Cause::none;
}

/// The line for the log, where something is noticed that was not.
std::optional<std::string> Book::look(std::string_view name, Known& known, WallTime now)
{
    const Watch watch = known.watch.value_or(options_.watch);
    if (watch == Watch::no) {
        known.cause = Cause::none;
        return std::nullopt;
    }
    std::string text;
    const Cause cause = strange(known.account, now, &text);
    if (cause == Cause::none) {
        if (known.cause != Cause::none && watch != Watch::hold && now - known.alarm_last > alarm_lasts)
            known.cause = Cause::none;
        return std::nullopt;
    }
    known.alarm_last = now;
    if (known.cause != Cause::none)
        return std::nullopt;
    known.cause = cause;
    known.alarm_since = now;
    known.alarm = std::move(text);
    ++done_.alarms[static_cast<std::size_t>(cause)];
    return fmt::format("account {}: {}: is it somebody else's mail? {}", account_text(name), known.alarm,
                       watch == Watch::hold ? "It is put on hold until an operator says more (posthorn accounts)"
                                            : "It is taken all the same (posthorn accounts)");
}

// ---- Operators

Result<handoff::Account> Book::order(const AccountOrder& order, WallTime now)
{
    const std::string name = order.name();
    if (!(name.starts_with("login:") && name.size() > 6) && !(name.starts_with("uid:") && name.size() > 4))
        return Error{fmt::format("\"{}\" is no account: login:NAME or uid:NUMBER", name), "5.5.4"};
    if (order.reason().size() > longest_word_reason)
        return Error{fmt::format("the reason is longer than {} octets", longest_word_reason), "5.5.4"};
    const bool ends = order.forget() || order.word() == handoff::Account::NONE;
    if (ends && !all_.contains(name))
        return Error{fmt::format("nothing is known of account {}", account_text(name)), "5.5.4"};
    if (!ends && order.word() == handoff::Account::ALLOW &&
        (order.lasts() <= 0 || std::chrono::microseconds{order.lasts()} > std::chrono::microseconds{allowed_longest}))
        return Error{"it is allowed everything for a time between a second and ten years", "5.5.4"};
    changed_ = true;
    if (order.forget()) {
        handoff::Account gone;
        gone.set_name(name);
        all_.erase(all_.find(name));
        return gone;
    }
    Known& known = this->known(name, now);
    known.word = order.word();
    known.word_since = now;
    known.word_until = order.word() == handoff::Account::ALLOW ? now + std::chrono::microseconds{order.lasts()} : WallTime{};
    known.word_by = order.by();
    known.word_reason = order.reason();
    if (order.word() == handoff::Account::ALLOW || order.word() == handoff::Account::NONE)
        known.cause = Cause::none;
    return tell(name, now).front();
}

std::vector<handoff::Account> Book::tell(std::string_view name, WallTime now) const
{
    std::vector<handoff::Account> told;
    for (const auto& [one, known] : all_) {
        if (!name.empty() && one != name)
            continue;
        handoff::Account& account = told.emplace_back();
        store(one, known, account);
        if (known.word == handoff::Account::ALLOW && now >= known.word_until)
            account.set_word(handoff::Account::NONE);
        tell_counts(known.account.within_hour(now), *account.mutable_hour());
        tell_counts(known.account.within_day(now), *account.mutable_day());
        account.set_usual_hour(known.account.usual_hour(now));
        account.set_usual_days(static_cast<std::uint32_t>(known.account.days_before(now)));
        account.clear_buckets();
    }
    std::ranges::sort(told, [](const handoff::Account& a, const handoff::Account& b) {
        if (a.hour().recipients() != b.hour().recipients())
            return a.hour().recipients() > b.hour().recipients();
        return a.day().recipients() != b.day().recipients() ? a.day().recipients() > b.day().recipients() : a.name() < b.name();
    });
    return told;
}

Book::Numbers Book::numbers() const
{
    Numbers made{.known = all_.size()};
    for (const auto& [name, known] : all_) {
        made.alarmed += known.cause != Cause::none ? 1 : 0;
        made.held += known.word == handoff::Account::HOLD ? 1 : 0;
        made.refused += known.word == handoff::Account::REFUSE ? 1 : 0;
    }
    return made;
}

}  // namespace posthorn::accounts
