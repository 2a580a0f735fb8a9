// account_limit_maps: the words of an entry, read whole or not at all; what they allow is taken, and no more. And what qmgr keeps of accounts: whatever its file
// says is a book that can be used, kept and told.
#include "fuzz.hpp"

#include "accounts/book.hpp"

namespace posthorn::fuzz {

using namespace accounts;

namespace {

const WallTime begin{std::chrono::seconds{1767225600}};

void check_limits(std::string_view input)
{
    const auto read = Limits::parse(input, Watch::no);
    if (!read) {
        FUZZ_CHECK(!read.error().text().empty());
        return;
    }
    const auto twice = Limits::parse(std::string(input) + "," + std::string(input), Watch::no);
    FUZZ_CHECK(twice && twice->all.size() == 2 * read->all.size() && twice->over == read->over && twice->watch == read->watch);
    Book book(begin);
    book.configure({.watch = Watch::no});
    std::uint64_t taken = 0;
    for (std::uint32_t mail = 0; mail < 20; ++mail) {
        const std::uint32_t recipients = 1 + mail % 5;
        const Ruling ruling = book.hand_in({.account = "login:a", .limits = input, .client_address = "192.0.2.1", .recipients = recipients}, begin);
        FUZZ_CHECK((ruling.what == Ruling::What::refuse) != ruling.status.empty());
        if (ruling.what != Ruling::What::take)
            continue;
        taken += recipients;
        for (const Limit& limit : read->all)
            FUZZ_CHECK(!limit.recipients || taken <= limit.most);
    }
    // Each number of the input is within what a limit can be.
    for (const Limit& limit : read->all)
        FUZZ_CHECK(input.find(std::to_string(limit.most)) != input.npos);
}

void check_kept(std::string_view input)
{
    handoff::StoredAccounts stored;
    if (!stored.ParseFromArray(input.data(), static_cast<int>(input.size())))
        return;
    Book book(stored, begin);
    const Book again(book.stored(), begin);
    FUZZ_CHECK(again.stored().SerializeAsString() == book.stored().SerializeAsString());
    for (const handoff::Account& account : book.tell({}, begin)) {
        const Ruling ruling = book.hand_in({.account = account.name(), .limits = {}, .client_address = "2001:db8::1", .recipients = 1}, begin);
        FUZZ_CHECK((ruling.what == Ruling::What::refuse) == (account.word() == handoff::Account::REFUSE));
        (void)book.tried(account.name(), true, begin);
    }
}

}  // namespace

void fuzz_one(std::string_view input)
{
    check_limits(input);
    check_kept(input);
}

}  // namespace posthorn::fuzz
