#include "whatif/mail_log.hpp"

#include "base/strings.hpp"
#include "config/site.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <tuple>
#include <utility>

namespace posthorn::whatif {

namespace {

constexpr std::size_t longest_line = 16 * 1024, most_questions = 300'000, most_mails = 200'000, longest_login = 200;

constexpr std::string_view without_end = "taken, and not delivered to anybody in this log";
constexpr std::string_view unreadable_address = "an address, a client or a login that the log does not have whole";

struct Entry {
    std::string_view tag, program, text;
};

/// The first "TAG[PID]: " of a line: what strangers say stands behind it.
std::optional<Entry> entry_of(std::string_view line)
{
    for (std::size_t at = line.find("]: "); at != line.npos; at = line.find("]: ", at + 1)) {
        const std::size_t open = line.rfind('[', at);
        if (open == line.npos || open == 0 || open + 1 == at || !std::ranges::all_of(line.substr(open + 1, at - open - 1), is_digit))
            continue;
        const std::size_t blank = line.rfind(' ', open);
        const std::string_view tag = line.substr(blank + 1, open - blank - 1);  // npos + 1: the line begins with it
        const std::size_t slash = tag.rfind('/');
        if (slash == tag.npos)
            return {};
        return Entry{tag, tag.substr(slash + 1), line.substr(at + 3)};
    }
    return {};
}

/// Takes "ID: " off the front; empty: it does not begin so.
std::string_view take_id(std::string_view& text)
{
    const std::size_t colon = text.find(": ");
    if (colon == text.npos || colon == 0 || colon > 64 || !std::ranges::all_of(text.substr(0, colon), is_alnum))
        return {};
    const std::string_view id = text.substr(0, colon);
    text.remove_prefix(colon + 2);
    return id;
}

/// What stands between "NAME" and the first `end` behind it; takes both off the front.
std::optional<std::string_view> take_value(std::string_view& text, std::string_view name, std::string_view end)
{
    if (!text.starts_with(name))
        return {};
    const std::size_t at = text.find(end, name.size());
    if (at == text.npos)
        return {};
    const std::string_view value = text.substr(name.size(), at - name.size());
    text.remove_prefix(at + end.size());
    return value;
}

/// "NAME[ADDRESS]", with ":PORT" behind it where smtpd_client_port_logging is on; takes it off the front.
std::optional<migrate::Client> take_client(std::string_view& text)
{
    const std::size_t open = text.find('['), close = text.find(']');
    if (open == text.npos || close == text.npos || close < open)
        return {};
    const std::string_view name = text.substr(0, open), address = text.substr(open + 1, close - open - 1);
    if (!config::parse_host_address(address) || address.find('/') != address.npos)
        return {};
    migrate::Client client;
    client.address = to_lower(address);
    if (name != "unknown" && smtp::is_valid_hostname(name))
        client.name = name;
    text.remove_prefix(close + 1);
    if (text.size() > 1 && text[0] == ':' && is_digit(text[1])) {
        text.remove_prefix(1);
        while (!text.empty() && is_digit(text.front()))
            text.remove_prefix(1);
    }
    return client;
}

/// What stands between `name`, anywhere in the text, and the first `end` behind it, or the end of the text. Empty: it is not there.
std::string_view word_of(std::string_view text, std::string_view name, std::string_view end)
{
    const std::size_t at = text.find(name);
    return at == text.npos ? std::string_view() : text.substr(at + name.size(), text.find(end, at + name.size()) - at - name.size());
}

bool usable_sender(std::string_view sender) { return sender.empty() || migrate::usable(sender); }

bool usable_login(std::string_view login)
{
    return login.size() <= longest_login && std::ranges::none_of(login, [](char c) { return static_cast<unsigned char>(c) <= 32 || c == 127; });
}

/// What EHLO can carry.
bool usable_helo(std::string_view helo)
{
    return !helo.empty() && helo.size() <= 255 &&
           std::ranges::none_of(helo, [](char c) { return static_cast<unsigned char>(c) <= 32 || static_cast<unsigned char>(c) >= 127; });
}

std::string key_of(const LogQuestion& question)
{
    return fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", question.tag, question.client.name, question.client.address, question.helo, question.esmtp,
                       question.login, question.sender, question.recipient);
}

/// FNV-1a: the same on every machine, so that the same log gives the same questions.
std::uint64_t shuffled(std::string_view key)
{
    std::uint64_t hash = 14695981039346656037U;
    for (const char c : key)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
    return hash;
}

}  // namespace

void MailLog::feed(std::string_view octets)
{
    while (!octets.empty()) {
        const std::size_t end = octets.find('\n');
        const std::string_view piece = octets.substr(0, end);
        rest_ += piece.substr(0, longest_line - rest_.size());
#ifdef POSTHORN_PLANT_BUG_mail_log  // the end of a piece ends a line (scripts/fuzz-planted)
        if (end == octets.npos)
            return end_of_file();
#else
        if (end == octets.npos)
            return;
#endif
        octets.remove_prefix(end + 1);
        end_of_file();
    }
}

void MailLog::end_of_file()
{
    if (!rest_.empty())
        line(rest_);
    rest_.clear();
}

void MailLog::line(std::string_view text)
{
    if (text.ends_with('\r'))
        text.remove_suffix(1);
    const auto entry = entry_of(text);
    if (!entry)
        return;
    std::string_view said = entry->text;
    const std::string_view id = take_id(said);
    if (id.empty())
        return;
    if (entry->program == "smtpd")
        return smtpd(entry->tag, id, said);
    if (entry->program == "postscreen") {
        if (said.starts_with("reject: "))
            leave_out("refused by postscreen, before the server");
        return;
    }
    if (entry->program == "pickup" && said.starts_with("uid="))
        return begins({.id = std::string(id), .tag = std::string(entry->tag), .local = true});
    if (said.starts_with("milter-reject: "))
        return leave_out("refused by a Milter");
    if (entry->program == "cleanup" && said.starts_with("reject: "))
        return leave_out("refused for what was in the mail");
    const auto known = by_id_.find(id);
    if (known == by_id_.end())
        return;
    Mail& mail = *known->second;
    if (said.starts_with("to=<"))
        return delivery(mail, said);
    if (entry->program != "qmgr")
        return;
    if (said == "removed")
        return ended(id);
    if (const auto sender = take_value(said, "from=<", ">, size="); sender && !mail.has_sender) {
        mail.sender = *sender;
        mail.has_sender = true;
    }
}

void MailLog::smtpd(std::string_view tag, std::string_view id, std::string_view said)
{
    if (said.starts_with("reject: "))
        return refused(tag, said.substr(8));
    if (said.starts_with("milter-reject: "))
        return leave_out("refused by a Milter");
    if (id == "NOQUEUE" || !said.starts_with("client="))
        return;
    said.remove_prefix(7);
    Mail mail{.id = std::string(id), .tag = std::string(tag)};
    const auto client = take_client(said);
    const std::string_view login = word_of(said, ", sasl_username=", ", ");
    // What a content filter brings back was asked about when it came.
    if (said.find(", orig_queue_id=") != said.npos)
        return leave_out("brought back by a content filter");
    if (!client || !usable_login(login))
        return leave_out(unreadable_address);
    mail.client = *client;
    mail.login = login;
    begins(std::move(mail));
}

void MailLog::refused(std::string_view tag, std::string_view said)
{
    const std::string_view command = said.substr(0, said.find(' '));
    if (command == "RCPT")
        return refused_recipient(tag, said.substr(4));
    if (command == "DATA" || command == "END-OF-MESSAGE" || command == "BDAT")
        return leave_out("refused at DATA or at the end of the mail");
    leave_out("refused before RCPT, or at another command");
}

void MailLog::refused_recipient(std::string_view tag, std::string_view said)
{
    LogQuestion question{.tag = std::string(tag), .refused = 1};
    // From the outside inwards: what a stranger says that looks like more of the line ends up within an address, which has no brackets.
    static constexpr std::string_view from = " from ", envelope = "; from=<", protocol = "> proto=";
    const std::size_t at = said.find(envelope), end = said.rfind(protocol);
    if (!said.starts_with(from) || at == said.npos || end == said.npos || end < at)
        return leave_out(unreadable_address);
    std::string_view mail = said.substr(at + 2, end + 1 - at - 2), tail = said.substr(end + protocol.size());
    said = said.substr(from.size(), at - from.size());
    const auto client = take_client(said);
    const auto sender = take_value(mail, "from=<", "> to=<");
    const auto recipient = take_value(mail, "", ">");
    if (!client || !said.starts_with(": ") || !sender || !recipient || !mail.empty() || !usable_sender(*sender) || !migrate::usable(*recipient))
        return leave_out(unreadable_address);
    question.client = *client;
    question.sender = *sender;
    question.recipient = *recipient;
    question.refusal = said.substr(2);
    question.esmtp = tail.substr(0, tail.find(' ')) != "SMTP";
    const std::string_view helo = word_of(tail, " helo=<", ">"), login = word_of(tail, " sasl_username=", " ");
    if (!usable_login(login))
        return leave_out(unreadable_address);
    question.login = login;
    if (usable_helo(helo)) {
        question.helo = helo;
        if (said_helo_.size() < most_questions || said_helo_.contains(question.client.address))
            said_helo_[question.client.address] = {question.helo, question.esmtp};
    }
    count(std::move(question));
}

/// A queue id that is given again: the mail that had it is gone, wherever that was said.
void MailLog::begins(Mail mail)
{
    ended(mail.id);
    mails_.push_back(std::move(mail));
    by_id_[mails_.back().id] = std::prev(mails_.end());
    if (mails_.size() > most_mails)
        ended(std::string(mails_.front().id));
}

void MailLog::delivery(Mail& mail, std::string_view said)
{
    auto recipient = take_value(said, "to=<", ">, ");
    if (const auto original = take_value(said, "orig_to=<", ">, "); original && recipient)
        recipient = original;
    if (recipient && !mail.recipients.contains(*recipient))
        mail.recipients.emplace(*recipient);
}

void MailLog::ended(std::string_view id)
{
    const auto known = by_id_.find(id);
    if (known == by_id_.end())
        return;
    const auto mail = known->second;
    by_id_.erase(known);
    count(*mail);
    mails_.erase(mail);
}

void MailLog::count(const Mail& mail)
{
    if (!mail.has_sender || mail.recipients.empty())
        return leave_out(without_end);
    for (const std::string& recipient : mail.recipients) {
        if (!migrate::usable(recipient) || !usable_sender(mail.sender)) {
            leave_out(unreadable_address);
            continue;
        }
        count({.tag = mail.tag,
               .local = mail.local,
               .client = mail.client,
               .login = mail.login,
               .sender = mail.sender,
               .recipient = recipient,
               .accepted = 1});
    }
}

void MailLog::count(LogQuestion question)
{
    const std::string key = key_of(question);
    auto known = questions_.find(key);
    if (known == questions_.end()) {
        if (questions_.size() >= most_questions)
            return leave_out("one more question than can be kept", question.times());
        questions_.emplace(key, std::move(question));
        return;
    }
    known->second.accepted += question.accepted;
    known->second.refused += question.refused;
    if (!question.refusal.empty())
        known->second.refusal = std::move(question.refusal);
}

void MailLog::leave_out(std::string_view reason, std::uint64_t times) { not_asked_[std::string(reason)] += times; }

LogQuestions MailLog::take()
{
    end_of_file();
    while (!mails_.empty())
        ended(std::string(mails_.front().id));
    // What was taken gets the HELO of who was refused, and is the same question then.
    auto found = std::exchange(questions_, {});
    for (auto& [key, question] : found) {
        if (const auto helo = said_helo_.find(question.client.address); question.helo.empty() && !question.local && helo != said_helo_.end()) {
            question.helo = helo->second.name;
            question.esmtp = helo->second.esmtp;
        }
        count(std::move(question));
    }
    std::vector<std::pair<std::uint64_t, const std::string*>> order;
    for (const auto& [key, question] : questions_)
        order.emplace_back(shuffled(key), &key);
    std::ranges::sort(order, [&](const auto& a, const auto& b) {
        const std::uint64_t times_a = questions_.at(*a.second).times(), times_b = questions_.at(*b.second).times();
        return times_a != times_b ? times_a > times_b : std::tie(a.first, *a.second) < std::tie(b.first, *b.second);
    });
    LogQuestions taken;
    for (const auto& [hash, key] : order)
        taken.questions.push_back(std::move(questions_.at(*key)));
    taken.not_asked = std::exchange(not_asked_, {});
    questions_.clear();
    said_helo_.clear();
    return taken;
}

}  // namespace posthorn::whatif
