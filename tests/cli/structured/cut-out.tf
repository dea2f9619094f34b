      { name = "terway-eniip" },
      {
        name   = "managed-aliyun-acr-credential-helper"
        config = "{\"AcrInstanceInfo\":[{\"instanceId\":\"cri-k3v9w2m7q1x8abcd\",\"regionId\":\"CN-Hangzhou\"}]}"
      },
