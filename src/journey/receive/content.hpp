// receive/content.hpp: the content of one message, from the first octet until the queue has it.
// Shape    octets in stored form (CRLF, not dot-stuffed). The head goes through the Cleaner as soon as it is whole, the body passes,
//          by the BodyCleaner where the Cleaner gave one.
// First line  one with white space in front is the body's, after an empty line: it must not continue our own field. "From " and ">From ", as
//          mbox files have them, become X-Mailbox-Line: they would end the header before it began.
// Memory   head_limit for the head, which is cut there, before its last field (one field alone may be longer), then a block; what is larger
//          than 64 KiB in all goes into a file. All counted against the ceiling.
// Errors   the first one is kept as the reply to the end of content; what follows is counted and dropped, so that the
//          dialogue stays in step (RFC 5321 4.1.1.4).
#pragma once

#include "handoff/frames.hpp"
#include "handoff/interfaces.hpp"
#include "receive/ceiling.hpp"
#include "receive/outside.hpp"

#include <memory>
#include <optional>
#include <string>

namespace posthorn::receive {

class Content {
public:
    static constexpr std::size_t head_limit = 256 * 1024;
    /// Far above handoff::inline_content_limit: the fewer, the less changing of threads. Files are written in whole blocks where those
    /// begin: the kernel then keeps them in large pages.
    static constexpr std::size_t block = 256 * 1024;

    struct Limits {
        std::uint64_t message_size = 0;     // 0: none
    };
    /// `ours`: fields that go in front (Received:, PREPEND), not counted as the client's.
    Content(handoff::Envelope envelope, std::string ours, Limits limits, Ceiling& ceiling, handoff::Cleaner& cleaner, IncomingFolder& folder);
    Content(Content&&) = delete;

    awaitable<void> add(std::string octets);
    /// Where octets of the body may be put without a copy more; null: they go by add(). Then added() with their number; true: write() is due.
    std::string* body();
    bool added(std::size_t octets);
    awaitable<void> write() { return write_out(true); }
    /// Octets to read at a time: as many as make a block whole.
    std::size_t room() const { return held_.size() < block ? block - held_.size() : block; }
    /// No more will come. Afterwards the refusal, if any, is final.
    awaitable<void> finish();
    /// Writes what a file has to have, and syncs it: after this the queue may have it.
    awaitable<void> seal();
    /// For who keeps it elsewhere, after finish(): what is not written yet, and what is.
    std::string take_rest() { return std::exchange(held_, {}); }
    IncomingFile* file() { return file_.get(); }
    /// For who looks at it whole, after finish(): what is to be stored, from `offset`; `most` octets, fewer at the end.
    awaitable<Result<std::string>> read(std::uint64_t offset, std::size_t most);
    std::uint64_t stored() const { return stored_; }
    /// Another head in the place of the first `old_head` octets, and perhaps another body behind it. A refusal says that it could not be done.
    awaitable<void> rewrite(std::string head, std::uint64_t old_head, std::optional<std::string> body);
    void set_envelope(handoff::Envelope envelope);
    handoff::Envelope take_envelope() { return std::move(envelope_); }
    handoff::Content take_content();
    /// What the queue said of it: it has the file now, or is full and wants the room back. After any other error it is not sure that nothing was
    /// stored: a file that no message names is swept, and a message never loses the one that it names.
    void committed();
    void refused(const Error& by_queue);

    /// After finish(): it is to be forgotten, and the client told that it was taken.
    bool discard() const { return discard_; }
    const std::optional<handoff::Refusal>& refusal() const { return refusal_; }
    /// What the postmaster should know of it, where the reply does not say: "write queue file: No space left on device".
    const std::string& trouble() const { return trouble_; }
    void refuse(handoff::Refusal refusal);
    /// It needs no file: the queue takes it as it is, and seal() has nothing to do.
    bool inline_in_queue() const { return !file_ && stored_ <= handoff::inline_content_limit; }
    /// Octets of the client's, in stored form.
    std::uint64_t size() const { return received_; }
    /// Envelope as the cleaner left it.
    const handoff::Envelope& envelope() const { return envelope_; }

private:
    void settle_first_line();
    std::size_t cut_of_head(std::size_t before) const;
    awaitable<void> clean_head();
    awaitable<void> take_body(std::string octets, bool last);
    awaitable<void> store(std::string octets);
    awaitable<void> write_out(bool blocks);
    void refuse(std::string_view while_doing, const Error& error);
    bool hold(std::size_t octets);

    handoff::Envelope envelope_;
    Limits limits_;
    handoff::Cleaner& cleaner_;
    IncomingFolder& folder_;
    Ceiling::Share share_;
    std::string held_;                      // the head, then what is in memory
    std::size_t ours_;                      // of the head, in front
    std::size_t searched_ = 0;              // of the head, for its end
    bool cleaned_ = false, discard_ = false;
    std::unique_ptr<handoff::BodyCleaner> body_;
    std::uint64_t received_ = 0, stored_ = 0;
    std::unique_ptr<IncomingFile> file_;
    std::optional<handoff::Refusal> refusal_;
    std::string trouble_;
};

/// The reply to a message that could not be stored.
handoff::Refusal refusal_of(const Error& error);

}  // namespace posthorn::receive
