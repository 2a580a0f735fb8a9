// What a session says: commands and content of a flight as pieces, and the writer.
#include "send/session.hpp"

#include "smtp/data.hpp"
#include "smtp/path.hpp"
#include "smtp/xforward.hpp"
#include "smtp/xtext.hpp"

#include <array>

namespace posthorn::send {

namespace {

constexpr std::size_t file_piece = 64 * 1024;
constexpr std::size_t pieces_at_once = 32;

void append_notify(std::string& out, std::uint32_t notify)
{
    if (notify & handoff::NOTIFY_NEVER) {
        out += "NEVER";
        return;
    }
    const std::size_t start = out.size();
    for (const auto& [bit, word] : {std::pair<handoff::Notify, std::string_view>{handoff::NOTIFY_SUCCESS, "SUCCESS"},
                                    {handoff::NOTIFY_FAILURE, "FAILURE"},
                                    {handoff::NOTIFY_DELAY, "DELAY"}})
        if (notify & bit) {
            if (out.size() != start)
                out += ',';
            out += word;
        }
}

peers::Verb verb_of(Act act)
{
    switch (act) {
    case Act::mail: return peers::Verb::mail;
    case Act::rcpt: return peers::Verb::rcpt;
    case Act::data: return peers::Verb::data;
    case Act::dot: return peers::Verb::dot;
    case Act::header_chunk:
    case Act::bdat: return peers::Verb::bdat;
    case Act::rset: return peers::Verb::rset;
    case Act::xforward: return peers::Verb::xforward;
    default: return peers::Verb::quit;
    }
}

/// An address as the stations hold it, with quotes where RFC 5321 4.1.2 asks for them.
std::string on_the_wire(const std::string& address) { return address.empty() ? address : smtp::mailbox_of(address).quoted(); }

bool is_ascii_text(std::string_view text)
{
    return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) >= 128; });
}

bool is_content(Act act) { return act == Act::dot || act == Act::bdat || act == Act::header_chunk; }

}  // namespace

void Session::say(std::string_view line)
{
    recorder_.said(line);
    if (debug_)
        transcript('>', line);
    const std::size_t from = out_.size();
    out_ += line;
    out_ += "\r\n";
    if (!pieces_.empty() && pieces_.back().kind == Piece::Kind::text && !pieces_.back().ends_content && pieces_.back().to == from)
        pieces_.back().to = out_.size();
    else
        pieces_.push_back({.kind = Piece::Kind::text, .from = from, .to = out_.size()});
}

void Session::compose(std::span<const Step> flight)
{
    out_.clear();
    pieces_.clear();
    expected_.clear();
    recorder_.new_segment();
    if (around_.peers)
        begin_exchange();
    early_flight_ = unheard_ != Unheard::nothing;
    if (early_flight_) {
        evidence_.exchanges.back().early = true;
        evidence_.exchanges.back().verbs.push_back(peers::Verb::ehlo);
        say("EHLO " + options_.helo_name);
    }
    for (std::size_t i = 0; i < flight.size(); ++i) {
        const Step& step = flight[i];
        Transaction* const transaction = step.mail < current_.size() ? current_[step.mail] : nullptr;
        const bool behind = !expected_.empty() || early_flight_;
        switch (step.act) {
        case Act::rset: say("RSET"); break;
        case Act::quit: say("QUIT"); break;
        case Act::data: say("DATA"); break;
        case Act::xforward: say(transaction->xforwards[step.recipient]); break;
        case Act::mail: compose_mail(*transaction); break;
        case Act::rcpt: compose_rcpt(*transaction, step.recipient); break;
        case Act::content: compose_content(*transaction, false, i + 1 < flight.size() && flight[i + 1].act == Act::dot); break;
        case Act::header_chunk: compose_header(*transaction); break;
        case Act::bdat: compose_content(*transaction, true, false); break;
        case Act::pause:
            pieces_.push_back({.kind = Piece::Kind::pause});
            recorder_.new_segment();
            break;
        case Act::dot:
            if (i == 0 || flight[i - 1].act != Act::content)
                say(".");
            pieces_.back().ends_content = true;
            break;
        default: break;
        }
        if (step.act == Act::content || step.act == Act::pause)
            continue;
        expected_.push_back({step.act, transaction, step.recipient, behind, pieces_.empty() ? 0 : pieces_.size() - 1});
        if (around_.peers)
            evidence_.exchanges.back().verbs.push_back(verb_of(step.act));
    }
}

/// smtp_send_xforward_command: of whom the mail is, as whoever handed it in said, or as we saw it.
void Session::prepare_xforward(Transaction& transaction) const
{
    if (!options_.send_xforward || transaction.progress.probe || features_.xforward.empty())
        return;
    const handoff::Envelope& envelope = transaction.request->envelope();
    smtp::Origin origin;
    if (envelope.has_origin()) {
        const handoff::Origin& said = envelope.origin();
        origin = {.name = said.name(),
                  .address = said.address(),
                  .port = said.port(),
                  .protocol = said.protocol(),
                  .helo = said.helo(),
                  .ident = said.ident(),
                  .source = said.source()};
    } else {
        const handoff::Client& client = envelope.client();
        origin = {.name = client.name(),
                  .address = client.address(),
                  .port = client.port() == 0 ? "" : std::to_string(client.port()),
                  .protocol = client.protocol(),
                  .helo = client.helo()};
    }
    if (origin.protocol.ends_with("SMTPS"))                         // as Received: has it; here it is one of two
        origin.protocol.pop_back();
    if (origin.protocol == "UTF8SMTP")
        origin.protocol = "ESMTP";
    const auto forget_unknown = [](std::string& value) {
        if (value == "unknown")
            value.clear();
    };
    forget_unknown(origin.name);
    forget_unknown(origin.address);
    if (origin.ident.empty())
        origin.ident = envelope.queue_id();
    if (origin.source.empty())
        origin.source = envelope.local_header() ? "LOCAL" : "REMOTE";
    transaction.xforwards = smtp::xforward_known(origin, features_.xforward);
    transaction.progress.xforwarded = 0;
    transaction.progress.xforwards = static_cast<std::uint32_t>(transaction.xforwards.size());
}

/// MAIL with what this peer takes of its parameters, and which those are.
std::string Session::mail_line(const Transaction& transaction, std::uint8_t* parameters) const
{
    const handoff::Envelope& envelope = transaction.request->envelope();
    const auto carries = [&](peers::Parameter parameter) { *parameters |= static_cast<std::uint8_t>(parameter); };
    std::string line = "MAIL FROM:<";
    const std::string& sender = transaction.edited != nullptr ? transaction.edited->sender : envelope.sender();
    line += options_.quote_envelope ? on_the_wire(sender) : sender;
    line += '>';
    if (features_.has(smtp::Keyword::size) && transaction.content->size() != 0) {
        fmt::format_to(std::back_inserter(line), " SIZE={}", transaction.content->size());
        carries(peers::Parameter::size);
    }
    if (envelope.body() != handoff::BODY_7BIT && features_.has(smtp::Keyword::eight_bit_mime)) {
        line += " BODY=8BITMIME";
        carries(peers::Parameter::body);
    }
    if (envelope.smtputf8() && features_.has(smtp::Keyword::smtputf8)) {
        line += " SMTPUTF8";
        carries(peers::Parameter::smtputf8);
    }
    if (transaction.requires_tls != RequireTls::disable && secured_ && features_.has(smtp::Keyword::requiretls))
        line += " REQUIRETLS";                                      // no peer's manners hide it
    if (authenticated_ && options_.sasl.dummy_mail_auth)
        line += " AUTH=<>";
    if (features_.has(smtp::Keyword::dsn)) {
        if (envelope.ret() != handoff::RET_UNSPECIFIED || !envelope.envid().empty())
            carries(peers::Parameter::dsn);
        if (envelope.ret() != handoff::RET_UNSPECIFIED)
            line += envelope.ret() == handoff::RET_FULL ? " RET=FULL" : " RET=HDRS";
        if (!envelope.envid().empty()) {
            line += " ENVID=";
            line += smtp::xtext_encode(envelope.envid());
        }
    }
    return line;
}

void Session::compose_mail(const Transaction& transaction)
{
    std::uint8_t parameters = 0;
    const std::string line = mail_line(transaction, &parameters);
    ++mails_said_;
    if (around_.peers)
        evidence_.exchanges.back().parameters |= parameters;
    if (transaction.progress.probe)
        probe_mail_ = line;
    say(line);
}

void Session::compose_rcpt(const Transaction& transaction, std::uint32_t recipient)
{
    const handoff::Recipient& to = transaction.request->envelope().recipients(static_cast<int>(transaction.recipients[recipient]));
    std::string line;
    line.reserve(64 + to.address().size());
    line += "RCPT TO:<";
    const std::string& spoken = transaction.edited != nullptr ? transaction.edited->recipients[transaction.recipients[recipient]] : to.address();
    line += options_.quote_envelope ? on_the_wire(spoken) : spoken;
    line += '>';
    if (features_.has(smtp::Keyword::dsn)) {
        if (to.notify() != 0) {
            line += " NOTIFY=";
            append_notify(line, to.notify());
        }
        const bool utf8 = features_.has(smtp::Keyword::smtputf8);
        if (!to.orcpt().empty()) {
            const auto semicolon = to.orcpt().find(';');
            const std::string type = to.orcpt().substr(0, semicolon);
            const std::string address = semicolon == std::string::npos ? to.orcpt() : to.orcpt().substr(semicolon + 1);
            line += " ORCPT=";
            line += semicolon == std::string::npos ? std::string("rfc822") : type;
            line += ';';
            if (is_ascii_text(address))
                line += smtp::xtext_encode(address);
            else
                line += utf8 ? smtp::utf8_addr_unitext_encode(address) : smtp::utf8_addr_xtext_encode(address);
        } else if (const std::string& original = to.original().empty() ? to.address() : to.original(); is_ascii_text(original)) {
            line += " ORCPT=rfc822;";
            line += smtp::xtext_encode(on_the_wire(original));
        }
    }
    say(line);
}

void Session::compose_header(const Transaction& transaction)
{
    auto& of = const_cast<Transaction&>(transaction);
    of.content_said = true;
    auto header = transaction.content->header();
    if (!header) {
        // As with any octets that cannot be had: nothing but closing keeps the rest from being taken for a message.
        content_error_ = std::move(header).error();
        stream_->close();
        return;
    }
    of.header_octets = header->size();
    if (around_.peers)
        evidence_.exchanges.back().content = std::max<std::uint64_t>(evidence_.exchanges.back().content, header->size());
    say(fmt::format("BDAT {}", header->size()));
    if (debug_)
        transcript('>', fmt::format("[{} octets of content]", header->size()));
    recorder_.said(fmt::format("[{} octets of content]", header->size()));
    out_ += *header;
    pieces_.back().to = out_.size();
}

void Session::compose_content(const Transaction& transaction, bool bdat, bool with_dot)
{
    const_cast<Transaction&>(transaction).content_said = true;
    const Content& content = *transaction.content;
    if (around_.peers)
        evidence_.exchanges.back().content = std::max(evidence_.exchanges.back().content, content.size());
    const bool nobody = !bdat && transaction.progress.accepted == 0;
    const std::string shown = nobody ? std::string() : fmt::format("[{} octets of content]", content.size());
    if (bdat)
        say(fmt::format("BDAT {} LAST", content.size() - transaction.header_octets));
    if (debug_ && !nobody)
        transcript('>', shown);
    if (debug_ && with_dot && transaction.progress.accepted != 0)
        transcript('>', ".");                                       // it goes out with the content, not by say()
    if (bdat) {
        recorder_.said(fmt::format("[{} octets of content]", content.size() - transaction.header_octets));
        if (content.in_memory())
            pieces_.push_back({.kind = Piece::Kind::view, .view = content.octets().substr(transaction.header_octets)});
        else
            pieces_.push_back({.kind = Piece::Kind::file, .transaction = &transaction});
        return;
    }
    if (nobody) {
        if (with_dot)
            say(".");                                               // 354 for nobody: an empty message (RFC 2920 3.1)
        return;
    }
    recorder_.said(shown);
    if (with_dot)
        recorder_.said(".");
    if (!content.in_memory()) {
        pieces_.push_back({.kind = Piece::Kind::file, .transaction = &transaction, .stuffed = true});
    } else if (smtp::goes_as_it_is(content.octets(), options_.line_length)) {
        pieces_.push_back({.kind = Piece::Kind::view, .view = content.octets()});
    } else {
        const std::size_t from = out_.size();
        smtp::DataWriter writer(options_.line_length);
        writer.feed(content.octets(), out_);
        if (with_dot)
            writer.finish(out_);
        note_line_broken(writer, transaction);
        pieces_.push_back({.kind = Piece::Kind::text, .from = from, .to = out_.size(), .ends_content = true});
        return;
    }
    if (with_dot && content.in_memory()) {
        const std::size_t from = out_.size();
        out_ += ".\r\n";
        pieces_.push_back({.kind = Piece::Kind::text, .from = from, .to = out_.size()});
    } else if (with_dot)
        pieces_.back().to = 1;                                      // of a file: the dot comes with its last piece
}

void Session::note_line_broken(const smtp::DataWriter& writer, const Transaction& transaction) const
{
    if (writer.broke_line())
        around_.log.info("{}: breaking line > {} bytes with <CR><LF>SPACE", transaction.request->envelope().queue_id(), options_.line_length);
}

std::size_t Session::gather(std::size_t piece, std::size_t offset)
{
    views_.clear();
    for (; piece < pieces_.size() && views_.size() < pieces_at_once; ++piece) {
        const Piece& one = pieces_[piece];
        if (one.kind != Piece::Kind::text && one.kind != Piece::Kind::view)
            break;
        const std::string_view text = one.kind == Piece::Kind::text ? std::string_view(out_).substr(one.from, one.to - one.from) : one.view;
        views_.push_back(text.substr(std::exchange(offset, 0)));
    }
    return piece;
}

bool Session::says_content() const
{
    return std::ranges::any_of(expected_, [](const Expected& expected) { return is_content(expected.act); });
}

void Session::write_flight()
{
    writing_at_ = 0;
    std::size_t offset = 0;
    const std::size_t end = gather(0, 0);
    if (!views_.empty()) {
        // Nearly always the kernel takes it all at once: no task, no wait.
        std::array<iovec, pieces_at_once> raw;  // NOLINT(cppcoreguidelines-pro-type-member-init): as many as are set below
        for (std::size_t i = 0; i < views_.size(); ++i)
            raw[i] = {const_cast<char*>(views_[i].data()), views_[i].size()};
        const net::Io io = stream_->try_write(std::span(raw).first(views_.size()));
        std::size_t octets = io.state == net::Io::State::done ? io.octets : 0;
        while (writing_at_ < end && octets >= views_[writing_at_].size() && io.state == net::Io::State::done)
            octets -= views_[writing_at_++].size();
        offset = octets;
        if (writing_at_ == pieces_.size() && stream_->try_flush().state == net::Io::State::done)
            return;
    }
    writing_ = true;
    writers_.spawn(write_rest(writing_at_, offset));
}

awaitable<void> Session::write_rest(std::size_t piece, std::size_t offset)
{
    bool failed = false;
    content_until_ = std::chrono::steady_clock::now() + timeout(Act::content);
    while (!failed && piece < pieces_.size()) {
        writing_at_ = piece;
        const Piece::Kind kind = pieces_[piece].kind;
        if (kind == Piece::Kind::pause) {
            content_until_ += options_.pix_delay;                   // ours, not the peer's
            stream_->expires_after(options_.pix_delay + timeout(Act::content));
            co_await sleep_for(options_.pix_delay);
            ++piece;
            continue;
        }
        if (kind == Piece::Kind::file) {
            failed = !co_await write_file(piece);
            piece += failed ? 0 : 1;
            continue;
        }
        const std::size_t next = gather(piece, std::exchange(offset, 0));
        failed = !co_await write_content(views_);
        piece = failed ? piece : next;
    }
    if (!failed && !co_await stream_->write(std::string_view()))    // what a TLS record still holds
        failed = true;
    // After a failure the reader learns why: an early answer, or the end of the stream.
    writing_at_ = failed ? std::min(piece, pieces_.size() - 1) : pieces_.size();
    writing_ = false;
    if (failed)
        co_return;                                                  // within what is left of the time: a peer that takes nothing has had it
    if (says_content())
        begin_request();                                            // what answers a content has a limit of its own
    limit_reply(awaited_);
}

/// Within its time. smtp_per_request_deadline: what is left of that goes on from one write to the next; what went out gives back what it may take at
/// smtp_min_data_rate, in portions of a sixteenth of that.
awaitable<Result<void>> Session::write_content(std::span<const std::string_view> octets)
{
    if (!options_.per_request_deadline) {
        stream_->expires_after(timeout(Act::content));
        co_return co_await stream_->write(octets);
    }
    if (!says_content()) {
        limit_reply(awaited_);
        co_return co_await stream_->write(octets);
    }
    const std::chrono::microseconds limit = timeout(Act::content);
    const std::uint64_t rate = options_.min_data_rate;
    const std::size_t portion = std::clamp<std::uint64_t>(rate * static_cast<std::uint64_t>(limit.count()) / 16'000'000, 256, file_piece);
    for (std::string_view rest : octets)
        while (!rest.empty()) {
            const std::string_view now = rest.substr(0, portion);
            rest.remove_prefix(now.size());
            stream_->expires_at(content_until_);
            CO_TRY_VOID(co_await stream_->write(now));
            content_until_ =
                std::min(content_until_ + std::chrono::microseconds(now.size() * 1'000'000 / rate), std::chrono::steady_clock::now() + limit);
        }
    co_return Result<void>{};
}

awaitable<Result<void>> Session::write_file(std::size_t piece)
{
    const Piece file = pieces_[piece];
    const Content& content = *file.transaction->content;
    std::string raw(file_piece, '\0'), stuffed;
    smtp::DataWriter writer(options_.line_length);
    for (std::uint64_t at = file.stuffed ? 0 : file.transaction->header_octets; at < content.size();) {
        const std::size_t want = static_cast<std::size_t>(std::min<std::uint64_t>(file_piece, content.size() - at));
        auto got = content.read(at, std::span(raw).first(want));
        if (!got || *got == 0) {
            // The promised octets cannot be had: nothing but closing keeps half a message from being taken for a whole one.
            content_error_ = got ? Error("message file is shorter than its size", "4.3.0") : std::move(got).error();
            stream_->close();
            co_return *content_error_;
        }
        std::array<std::string_view, 2> octets{std::string_view(raw).substr(0, *got), {}};
        if (const auto lf = octets[0].rfind('\n'); file.stuffed && at + *got < content.size() && lf != std::string_view::npos)
            octets[0].remove_suffix(octets[0].size() - lf - 1);     // the line that is cut off is read again, whole
        at += octets[0].size();
        if (file.stuffed) {
            // Nearly all lines go out from where they were read.
            const std::size_t whole = writer.pass(octets[0]);
            stuffed.clear();
            writer.feed(octets[0].substr(whole), stuffed);
            if (at == content.size() && file.to == 1)
                writer.finish(stuffed);
            octets = {octets[0].substr(0, whole), stuffed};
        }
        CO_TRY_VOID(co_await write_content(octets));
    }
    note_line_broken(writer, *file.transaction);
    if (file.stuffed && content.size() == 0 && file.to == 1)
        CO_TRY_VOID(co_await stream_->write(std::string_view(".\r\n")));
    co_return Result<void>{};
}

}  // namespace posthorn::send
