#include "mailauth/hash_body.hpp"

namespace posthorn::mailauth {

awaitable<Result<std::string>> hash_body(ReadBody read, Canonical how)
{
    constexpr std::size_t block = 256 * 1024;
    BodyHash hash(how);
    for (std::uint64_t offset = 0;;) {
        CO_TRY(const std::string piece, co_await read(offset, block));
        if (piece.empty())
            co_return hash.finish();
        hash.add(piece);
        offset += piece.size();
    }
}

}  // namespace posthorn::mailauth
