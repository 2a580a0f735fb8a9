#include "heard/unpack.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>

namespace posthorn::heard {

namespace {

constexpr std::string_view zip_entry = "PK\x03\x04", zip_descriptor = "PK\x07\x08";
constexpr std::size_t zip_head = 30, block = 65'536;

std::uint32_t number_at(std::string_view octets, std::size_t at, std::size_t size)
{
    std::uint32_t number = 0;
    for (std::size_t i = size; i-- > 0;)
        number = number << 8U | static_cast<unsigned char>(octets[at + i]);
    return number;
}

Error too_large(std::size_t most) { return Error{fmt::format("it unpacks to more than {} octets", most)}; }

struct Inflated {
    std::string octets;
    std::size_t packed = 0;                                  // how much of the input it was
};

class Inflater {
public:
    explicit Inflater(int window) : ready_(inflateInit2(&stream_, window) == Z_OK) {}
    Inflater(Inflater&&) = delete;
    ~Inflater()
    {
        if (ready_)
            inflateEnd(&stream_);
    }

    Result<Inflated> run(std::string_view octets, std::size_t most)
    {
        if (!ready_)
            return Error{"zlib: no memory"};
#ifdef POSTHORN_PLANT_BUG_heard_unpack
        ++most;
#endif
        Inflated made;
        std::string piece(block, '\0');
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(octets.data()));
        stream_.avail_in = static_cast<uInt>(octets.size());
        for (int done = Z_OK; done != Z_STREAM_END;) {
            stream_.next_out = reinterpret_cast<Bytef*>(piece.data());
            stream_.avail_out = static_cast<uInt>(piece.size());
            done = inflate(&stream_, Z_NO_FLUSH);
            const std::size_t size = piece.size() - stream_.avail_out;
            if (done == Z_BUF_ERROR || (done == Z_OK && size == 0 && stream_.avail_in == 0))
                return Error{"it is cut off"};
            if (done != Z_OK && done != Z_STREAM_END)
                return Error{fmt::format("it is damaged ({})", stream_.msg ? stream_.msg : "zlib says no more")};
            if (size > most - made.octets.size())
                return too_large(most);
            made.octets.append(piece, 0, size);
        }
        made.packed = octets.size() - stream_.avail_in;
        return made;
    }

private:
    z_stream stream_{};
    bool ready_ = false;
};

std::uint32_t checksum(std::string_view octets)
{
    return static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(octets.data()), static_cast<uInt>(octets.size())));
}

}  // namespace

bool is_gzip(std::string_view octets) { return octets.starts_with("\x1f\x8b"); }
bool is_zip(std::string_view octets) { return octets.starts_with(zip_entry); }

Result<std::string> unpack_gzip(std::string_view octets, std::size_t most)
{
    constexpr int gzip_window = 15 + 16;
    if (!is_gzip(octets))
        return Error{"it is not gzip"};
    std::string all;
    while (is_gzip(octets)) {                                // what follows the last member is padding
        TRY(const Inflated made, Inflater(gzip_window).run(octets, most - all.size()));
        all += made.octets;
        octets.remove_prefix(made.packed);
    }
    return all;
}

Result<std::string> unpack_zip(std::string_view octets, std::size_t most)
{
    constexpr std::uint32_t encrypted = 1, sizes_behind = 8, stored = 0, deflated = 8;
    while (true) {
        if (!is_zip(octets))
            return Error{"it is a zip file without a file"};
        if (octets.size() < zip_head)
            return Error{"it is cut off"};
        const std::uint32_t flags = number_at(octets, 6, 2), method = number_at(octets, 8, 2), packed = number_at(octets, 18, 4);
        std::uint32_t sum = number_at(octets, 14, 4);
        const std::size_t name = number_at(octets, 26, 2), begin = zip_head + name + number_at(octets, 28, 2);
        if (begin > octets.size())
            return Error{"it is cut off"};
        const bool folder = octets.substr(zip_head, name).ends_with('/');
        octets.remove_prefix(begin);
        if (folder) {
            if (packed > octets.size())
                return Error{"it is cut off"};
            octets.remove_prefix(packed);
            continue;
        }
        if ((flags & encrypted) != 0)
            return Error{"it is a zip file with a password"};
        std::string made;
        if (method == stored) {
            if ((flags & sizes_behind) != 0)
                return Error{"it is a zip file that stores a file of unknown size"};
            if (packed > octets.size())
                return Error{"it is cut off"};
            if (packed > most)
                return too_large(most);
            made = octets.substr(0, packed);
        } else if (method == deflated) {
            TRY(Inflated inflated, Inflater(-MAX_WBITS).run(octets, most));
            made = std::move(inflated.octets);
            if ((flags & sizes_behind) != 0) {
                std::string_view rest = octets.substr(inflated.packed);
                if (rest.starts_with(zip_descriptor))
                    rest.remove_prefix(zip_descriptor.size());
                if (rest.size() < 4)
                    return Error{"it is cut off"};
                sum = number_at(rest, 0, 4);
            }
        } else
            return Error{fmt::format("it is a zip file of method {}: expected 0 (stored) or 8 (deflated)", method)};
        if (checksum(made) != sum)
            return Error{"it is damaged (its checksum is another one)"};
        return made;
    }
}

}  // namespace posthorn::heard
