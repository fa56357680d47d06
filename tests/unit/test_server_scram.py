"""SCRAM-SHA-256: who knows the secret gets in, nobody else."""

from base64 import b64encode

import pytest

from mlip_fw.launchpad.server.command_error import CommandError
from mlip_fw.launchpad.server.scram import Conversation, Keys
from tests.helpers.database import SECRET, ScramClient


@pytest.fixture(scope="module")
def keys():
    return Keys(SECRET)


def test_both_prove_that_they_know_the_secret(keys):
    client, conversation = ScramClient(), Conversation(keys)
    final = client.final(conversation.start(client.first))
    assert conversation.prove(final) == client.expected
    assert conversation.is_proven


def test_salt_and_nonce_are_never_the_same(keys):
    assert keys.salt != Keys(SECRET).salt
    assert Conversation(keys).start(ScramClient().first) != Conversation(keys).start(ScramClient().first)


def refused(conversation, payload):
    with pytest.raises(CommandError) as caught:
        conversation.prove(payload)
    assert caught.value.code == 18
    assert not conversation.is_proven


@pytest.mark.parametrize("client", [ScramClient(secret="wrong"), ScramClient(user="root"), ScramClient(secret="")])
def test_wrong_secret_or_user(keys, client):
    conversation = Conversation(keys)
    refused(conversation, client.final(conversation.start(client.first)))


def test_proof_of_another_conversation(keys):
    client, first, second = ScramClient(), Conversation(keys), Conversation(keys)
    final = client.final(first.start(client.first))
    second.start(client.first)
    refused(second, final)


def test_another_nonce_or_binding(keys):
    for changes in ({"nonce": b"clientnonce"}, {"binding": b64encode(b"y,,")}):
        client, conversation = ScramClient(), Conversation(keys)
        refused(conversation, client.final(conversation.start(client.first), **changes))


@pytest.mark.parametrize("payload", [b"", b"c=biws,r=x", b"c=biws,r=x,p=", b"c=biws,r=x,p=%%%", b"\xff\0", b",p="])
def test_nonsense_for_a_proof(keys, payload):
    conversation = Conversation(keys)
    conversation.start(ScramClient().first)
    refused(conversation, payload)


def test_proof_before_the_first_message(keys):
    client = ScramClient()
    final = client.final(Conversation(keys).start(client.first))
    refused(Conversation(keys), final)


@pytest.mark.parametrize("payload", [b"", b"n,,", b"n,,n=mlip_fw", b"p=tls-unique,,n=mlip_fw,r=x", b"\0\1"])
def test_nonsense_for_a_first_message(keys, payload):
    with pytest.raises(CommandError, match="first message"):
        Conversation(keys).start(payload)
