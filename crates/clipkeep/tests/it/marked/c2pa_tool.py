"""Signs files with a C2PA manifest, and says what the verifier finds.

sign CHAIN KEY SOURCE DEST | verify FILE...
"""

import json
import sys

import c2pa

MANIFEST = {
    "claim_generator_info": [{"name": "clipkeep tests"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
                    }
                ]
            },
        }
    ],
}


def sign(chain, key, source, dest):
    read = lambda path: open(path, "rb").read()
    info = c2pa.C2paSignerInfo(alg=b"es256", sign_cert=read(chain), private_key=read(key), ta_url=None)
    c2pa.Builder(json.dumps(MANIFEST)).sign_file(source, dest, c2pa.Signer.from_info(info))


def verify(paths):
    for path in paths:
        print(json.loads(c2pa.Reader(path).json())["validation_state"])


if sys.argv[1] == "sign":
    sign(*sys.argv[2:])
else:
    verify(sys.argv[2:])
