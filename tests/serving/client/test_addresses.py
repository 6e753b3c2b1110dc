import pytest

from tfrs_models.serving import client

pytest.importorskip("requests")


@pytest.mark.parametrize("address", ["localhost:8501", "grpc://localhost:8501", "ftp"])
def test_an_address_without_http_is_refused_with_what_to_write(address):
    end = address.removeprefix("grpc://")
    with pytest.raises(ValueError, match=f"Got '{address}'. Write 'http://{end}'"):
        client.RestClient(address, model="m")


@pytest.mark.parametrize("address", ["HTTP://localhost:1", "https://localhost:1/"])
def test_http_and_https_are_addresses(address):
    client.RestClient(address, model="m").close()
