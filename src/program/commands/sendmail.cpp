// sendmail, mailq, newaliases. No rights of its own: what it hands in goes through a pipe to postdrop.
#include "submit/sendmail_options.hpp"

#include "async/run.hpp"
#include "base/clock.hpp"
#include "base/strings.hpp"
#include "commands/command.hpp"
#include "commands/drop_program.hpp"
#include "commands/stand_alone.hpp"
#include "handoff/verp.hpp"
#include "receive/params.hpp"
#include "submit/exit_status.hpp"
#include "submit/framing.hpp"
#include "submit/header_recipients.hpp"
#include "submit/input_text.hpp"
#include "tables/login_senders.hpp"
#include "tables/params.hpp"

#include <fmt/format.h>

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace posthorn::commands {

namespace {

using namespace submit;

/// Runs another command of the family in this process's place.
[[noreturn]] void become(std::vector<std::string> words)
{
    const std::string program = executable_folder() + words.front();
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execv(program.c_str(), arguments.data());
    throw Failure(fmt::format("execute {}: {}", program, errno_text(errno)), exit_os);
}

void check_submit_user(const config::Snapshot& snapshot)
{
    const std::string user = user_name();
    if (!lists_user(snapshot.text("authorized_submit_users"), "authorized_submit_users", user))
        throw Failure(fmt::format("User {}({}) is not allowed to submit mail", user, ::getuid()), exit_no_permission);
}

/// Said at once, where the user may read the tables. Who may not, or goes another way to the maildrop, is turned away by pickup.
void check_sender(const config::Snapshot& snapshot, const std::string& sender)
{
    const std::string list = snapshot.text("local_login_sender_maps");
    if (tables::LoginSenders::allows_all(list))
        return;
    const SystemClock clock;
    asio::io_context loop;
    tables::Tables tables(observe::Log(std::make_shared<observe::MemorySink>(), "sendmail"), clock);
    tables::Delimiter delimiter;
    delimiter.characters = snapshot.get(tables::recipient_delimiter);
    delimiter.owner_request_special = snapshot.get(tables::owner_request_special);
    const tables::LoginSenders senders(list, snapshot.text("empty_address_local_login_sender_maps_lookup_key"), std::move(delimiter), tables);
    const std::string login = ::getpwuid(::getuid()) ? user_name() : fmt::format("uid:{}", ::getuid());
    if (const auto allowed = run(loop, senders.allows(login, sender)); allowed && !*allowed)
        throw Failure(fmt::format("not authorized to use sender='{}'", printable(sender, true)), exit_no_permission);
}

FixLineEndings fix_line_endings(const config::Snapshot& snapshot)
{
    const std::string text = snapshot.text("sendmail_fix_line_endings");
    if (text == "always")
        return FixLineEndings::always;
    if (text == "strict")
        return FixLineEndings::strict;
    if (text == "never")
        return FixLineEndings::never;
    throw Failure(fmt::format("bad sendmail_fix_line_endings value: {}", text), exit_config);
}

struct Whole {
    std::string head;                      // what was read of the text, line ends as they are to be
    bool at_end = false;
};

/// Reads standard input until the header is complete, or `limit` octets.
Whole read_head(InputText& text, std::size_t limit)
{
    Whole whole;
    char buffer[16384];
    while (whole.head.size() < limit) {
        // The empty line, or one at the very beginning.
        if (whole.head.find("\r\n\r\n") != std::string::npos || whole.head.starts_with("\r\n") || text.ended())
            break;
        const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            throw Failure(fmt::format("error reading the message: {}", errno_text(errno)), exit_no_input);
        if (count == 0) {
            whole.head += text.finish();
            whole.at_end = true;
            break;
        }
        whole.head += text.feed({buffer, static_cast<std::size_t>(count)});
    }
    whole.at_end |= text.ended();
    return whole;
}

int submit_message(const SendmailOptions& options, const config::Snapshot& snapshot)
{
    const uid_t uid = ::getuid();
    const passwd* account = ::getpwuid(uid);
    const std::string user = user_name();
    const std::string who = fmt::format("{}({})", user, uid);
    handoff::Envelope envelope;
    envelope.set_sender(options.sender ? *options.sender : user);
    if (options.sender && !options.sender->empty()) {
        auto sender = command_line_recipients(*options.sender);
        if (!sender || sender->size() != 1)
            throw Failure(fmt::format("{}: bad sender address: {}", who, printable(*options.sender, true)), exit_usage);
        envelope.set_sender(sender->front());
    }
    check_sender(snapshot, envelope.sender());
    if (options.full_name)
        envelope.set_full_name(without_controls(*options.full_name));
    else if (const char* name = ::getenv("NAME"))
        envelope.set_full_name(without_controls(name));
    else if (account)
        envelope.set_full_name(without_controls(name_of_account(account->pw_gecos, account->pw_name)));
    envelope.set_envid(options.envid);
    if (options.verp) {
        const std::string allowed = snapshot.get(receive::verp_delimiter_filter);
        if (!options.verp->empty() && !handoff::are_verp_delimiters(*options.verp, allowed))
            throw Failure(fmt::format("-XV{}: the delimiters are two characters of {} (verp_delimiter_filter)", printable(*options.verp), allowed),
                          exit_usage);
        if (envelope.sender().empty())
            throw Failure("-XV: the null sender has no return path for each recipient", exit_usage);
        envelope.set_verp(options.verp->empty() ? snapshot.get(receive::default_verp_delimiters) : *options.verp);
    }
    envelope.set_ret(options.ret);
    envelope.set_body(options.body.value_or(handoff::BODY_7BIT));
    envelope.set_purpose(options.purpose);
    envelope.set_smtputf8(options.smtputf8);
    envelope.set_requiretls(options.requiretls);
    if (const auto& hold = options.hold) {
        const auto most = snapshot.get(receive::smtpd_future_release_limit);
        const WallTime now = SystemClock().wall(), until = hold->until ? WallTime{*hold->until} : now + hold->interval;
        if (until > now + most)
            throw Failure(fmt::format("{}: mail may be held for {} seconds (smtpd_future_release_limit)", who, most.count()), exit_usage);
        envelope.mutable_release()->set_not_before(until.time_since_epoch().count());
        envelope.mutable_release()->set_request(smtp::text(*hold));
    }

    std::vector<std::string> recipients;
    for (const std::string& word : options.recipients) {
        auto named = command_line_recipients(word);
        if (!named)
            throw Failure(fmt::format("{}: {}", who, named.error().text()), exit_usage);
        recipients.insert(recipients.end(), named->begin(), named->end());
    }
    InputText text(fix_line_endings(snapshot), options.dot_ends);
    Whole whole;
    if (options.purpose == handoff::PURPOSE_VERIFY_ADDRESS) {
        // Nothing is read: the question is about the addresses.
        whole.head = fmt::format("Subject: probe\r\nTo: {}\r\n\r\n", fmt::join(recipients, ", "));
        whole.at_end = true;
    } else {
        whole = read_head(text, 16 << 20);
    }
    if (options.recipients_from_header) {
        for (std::string& recipient : header_recipients(whole.head))
            if (std::ranges::find(recipients, recipient) == recipients.end())
                recipients.push_back(std::move(recipient));
        if (recipients.empty())
            throw Failure(fmt::format("{}: No recipient addresses found in message header", who), exit_usage);
    }
    for (const std::string& recipient : recipients) {
        handoff::Recipient& entry = *envelope.add_recipients();
        entry.set_address(recipient);
        entry.set_notify(options.notify);
    }
    // A message whose header or addresses need it is an SMTPUTF8 message; cleanup checks again.
    if (!is_ascii(whole.head) && !options.body)
        envelope.set_body(handoff::BODY_8BIT);

    std::signal(SIGPIPE, SIG_IGN);
    const std::string record = envelope.SerializeAsString();
    if (record.size() > envelope_limit)
        throw Failure(fmt::format("{}: too many recipients", who), exit_usage);
    DropProgram drop(snapshot.config_directory());
    bool heard = drop.write(encode_head(record)) && drop.write(encode_content(whole.head));
    char buffer[65536];
    while (heard && !whole.at_end) {
        const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            throw Failure(fmt::format("{}: error reading the message: {}", who, errno_text(errno)), exit_no_input);
        const std::string piece = count == 0 ? text.finish() : text.feed({buffer, static_cast<std::size_t>(count)});
        whole.at_end = count == 0 || text.ended();
        heard = drop.write(encode_content(piece));
    }
    heard = heard && drop.write(encode_end());
    const int status = drop.finish();
    if (status != exit_ok)
        return status;                                             // postdrop has said why
    if (!heard)
        throw Failure(fmt::format("{}: postdrop ended too early", who), exit_software);
    if (options.purpose != handoff::PURPOSE_MAIL)
        fmt::print("Mail Delivery Status Report will be mailed to <{}>.\n", envelope.sender());
    return exit_ok;
}

int send(std::span<char*> args)
{
    const std::string_view called = args.empty() ? "sendmail" : args.front();
    std::vector<std::string_view> words;
    for (char* word : args.subspan(std::min<std::size_t>(1, args.size())))
        words.emplace_back(word);
    auto parsed = parse_sendmail_options(called.substr(called.rfind('/') + 1), words);
    if (!parsed)
        throw Failure(parsed.error().text(), exit_usage);
    const SendmailOptions& options = *parsed;
    std::optional<std::string> directory;
    if (options.config)                                            // the directory, or main.cf in it
        directory = options.config->ends_with("/main.cf") ? options.config->substr(0, options.config->size() - 8) : *options.config;
    if (directory && !directory->starts_with('/'))
        throw Failure(fmt::format("-C needs an absolute path: {}", printable(options.config.value_or(""))), exit_usage);
    const config::Snapshot snapshot = load_config("sendmail", directory);
    if (options.verbose > 0)
        for (const std::string& ignored : options.ignored)
            fmt::print(stderr, "sendmail: warning: option {} does nothing\n", ignored);

    using Mode = SendmailOptions::Mode;
    const std::string& where = snapshot.config_directory();
    switch (options.mode) {
    case Mode::submit: check_submit_user(snapshot); return submit_message(options, snapshot);
    case Mode::list_queue: become({"postqueue", "-c", where, "-p"});
    case Mode::flush: become({"postqueue", "-c", where, "-f"});
    case Mode::flush_site: become({"postqueue", "-c", where, "-s", options.site_or_id});
    case Mode::flush_id: become({"postqueue", "-c", where, "-i", options.site_or_id});
    case Mode::daemon: become({"postfix", "-c", where, "start"});
    case Mode::new_aliases: {
        std::vector<std::string> command{"postalias", "-c", where};
        for (const std::string& database : options.alias_databases)
            command.push_back(database);
        if (options.alias_databases.empty())
            for (const std::string_view word : split(snapshot.text("alias_database"), ", \t\r\n"))
                command.emplace_back(word);
        if (command.size() == 3)
            return exit_ok;                                        // no database: nothing to be built
        become(std::move(command));
    }
    case Mode::smtp_dialogue: check_submit_user(snapshot); return smtp_dialogue(snapshot);
    }
    return exit_software;
}

}  // namespace

int sendmail(std::span<char*> args) { return guarded("sendmail", send, args); }

}  // namespace posthorn::commands
