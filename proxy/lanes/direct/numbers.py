"""The numbers by which the kernel counts services."""

from zlib import crc32

from proxy.core.addresses import Address

_NUMBERS = (1 << 31) - 1


class Numbers:
    """The same in each proxy's life as long as few services share a hash, for the kernel goes on counting by a number
    from one proxy to the next."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int], int] = {}
        self._asked: dict[int, Address] = {}

    def of(self, ip: str, port: int) -> int:
        number = self._numbers.get((ip, port))
        if number is None:
            number = crc32(f"{ip} {port}".encode()) % _NUMBERS + 1
            while number in self._asked:
                number = number % _NUMBERS + 1
            self._numbers[ip, port] = number
            self._asked[number] = Address(ip, port)
        return number

    def asked(self, number: int) -> Address:
        """The address that clients dial. Raises KeyError for a number that `of` never gave."""
        return self._asked[number]
